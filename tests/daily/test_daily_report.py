"""The daily report: correct counts, four weeks to compare with, a page without scripts or external resources."""

import re
import zipfile
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from html.parser import HTMLParser
from pathlib import Path

import dagster as dg
import pytest
from conftest import MakePhoto, StoreRows
from hatchling.builders.wheel import WheelBuilder
from pyspark.sql import DataFrame, SparkSession

from pipeline.daily import difficulty_table, predictions
from pipeline.daily.daily_report import MAX_BYTES, DayCost, DayReport, DayTables, make_reports
from pipeline.daily.daily_report_page import POLICY, render_page, write_percent
from pipeline.daily.day_counts import SHOWN_QUEUED, SHOWN_REJECTED, USUAL_DAYS, with_days_before
from pipeline.drift import comparison
from pipeline.drift.label_shift import compare_label_counts
from pipeline.images import image_files as images
from pipeline.images.sidecar_files import SIDECAR
from pipeline.reviews import review_queue
from pipeline.storage.columns.schema import parse_schema
from pipeline.storage.rows import collect_rows
from resources.instance.day_costs import find_cost

MONDAY, SUNDAY = date(2026, 11, 16), date(2026, 11, 22)
HOSTILE = "<script>alert(1)</script><img src=http://evil.example/x onerror='alert(2)'>\u202e\x1b[2J\"&.jpg"
PROMISE = "This day is harder than the training set: about 88% would be right if all were answered"
EVALUATION = {
    "accuracy": 0.913,
    "accuracy_interval": [0.89, 0.93],
    "train_count": 300,
    "holdout_count": 80,
    "confusion": {"coat": {"coat": 40, HOSTILE: 1}, HOSTILE: {HOSTILE: 39}},
    "calibration": {"promised_precision": 0.95},
}


class Elements(HTMLParser):
    """Elements and attributes of a page, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def predict(day: date, number: int, **changes: object) -> dict[str, object]:
    prediction = {"predicted_label": "coat", "confidence": 0.975, "decision": "answered", "error": None}
    where = {"day": day, "image_id": f"{day.day:02}{number:03}", "path": f"{number}.jpg"}
    return {**where, **prediction, "classifier": "v1", "backbone": "8d", **changes}


def reject(day: date, number: int, **changes: object) -> dict[str, object]:
    nothing = {"predicted_label": None, "confidence": None, "decision": "rejected", "error": "truncated"}
    return predict(day, number, **nothing | changes)


@pytest.fixture(scope="module")
def frame(spark: SparkSession) -> Callable[[str, list[dict]], DataFrame]:
    def make(schema: str, rows: list[dict]) -> DataFrame:
        struct = parse_schema(schema)
        return spark.createDataFrame([tuple(row.get(name) for name in struct.names) for row in rows], struct)

    return make


@pytest.fixture(scope="module")
def reports(
    frame: Callable[[str, list[dict]], DataFrame], make_photo: MakePhoto, store_rows: StoreRows
) -> dict[date, DayReport]:
    """Reports of a full day and of an empty one."""
    full = [predict(SUNDAY, 0, quality_flags=[], near_duplicate_of="16001")]
    full += [predict(SUNDAY, number, quality_flags=[]) for number in range(1, 19)]
    full += [predict(SUNDAY, 19 + number, quality_flags=["blurred"]) for number in range(8)]
    full += [predict(SUNDAY, 27 + number, quality_flags=["dark"]) for number in range(3)]
    full += [predict(SUNDAY, 30 + n, predicted_label=HOSTILE, decision="review", confidence=0.3) for n in range(50)]
    full += [reject(SUNDAY, 100 + number, path=f"{HOSTILE} {number:02}") for number in range(20)]
    full += [reject(SUNDAY, 200 + number, path=f"._{number}.jpg", error=SIDECAR) for number in range(3)]
    full += [reject(SUNDAY + timedelta(1), 300, path=".DS_Store", error=SIDECAR)]
    before = [predict(MONDAY, number, predicted_label="hat") for number in range(10)]
    before += [reject(MONDAY + timedelta(1), number, path=f"._{number}", error=SIDECAR) for number in range(5)]
    before += [predict(SUNDAY - timedelta(USUAL_DAYS + 1), 1, predicted_label="too long ago")]
    queue = [{**row, "reason": "uncertain"} for row in full if row["decision"] == "review"]
    photos = [{**row, "content": make_photo("red", place)} for place, row in enumerate(queue)]
    small = {"day": SUNDAY, "comparison": "images", "image_count": 5, "is_alarm": False, "examples": []}
    small["summary"] = "not compared, the day has fewer than 20 images"
    tables = DayTables(
        frame(predictions.SCHEMA, full + before).toArrow(),
        frame(predictions.SCHEMA, full).toArrow(),
        frame(review_queue.SCHEMA, queue).toArrow(),
        store_rows(frame(images.SCHEMA, photos)),
        collect_rows([small], parse_schema(comparison.SCHEMA)).table,
        collect_rows([{"day": SUNDAY, "summary": PROMISE}], parse_schema(difficulty_table.SCHEMA)).table,
    )
    days = [str(SUNDAY), str(SUNDAY + timedelta(1))]
    cost = DayCost(90, 10, 0.0125, 900.0)
    return {report.day: report for report in make_reports(days, tables, {"v1": EVALUATION}.get, lambda _: cost)}


@pytest.fixture(scope="module")
def page(reports: dict[date, DayReport]) -> str:
    return render_page(reports[SUNDAY])


def test_the_page_says_how_hard_the_day_is(reports: dict[date, DayReport], page: str) -> None:
    assert f"{PROMISE}." in page
    assert reports[SUNDAY + timedelta(1)].promise == ""


def test_counts_cover_the_day_and_usual_values_the_four_weeks_before(reports: dict[date, DayReport]) -> None:
    report = reports[SUNDAY]
    assert report.counts.decisions == {"answered": 30, "review": 50, "rejected": 20}
    assert report.counts.labels == {"coat": 30, HOSTILE: 50}
    assert report.counts.reasons == {"truncated": 20}
    assert sum(report.confidences) == 80
    assert report.confidences[-1] == 30
    assert report.usual_files == 10
    assert report.usual_label_shares() == {"hat": 1.0}
    assert report.usual_share("review") == 0.0


def test_images_of_low_quality_are_counted_by_fault(reports: dict[date, DayReport], page: str) -> None:
    assert reports[SUNDAY].counts.flags == {"blurred": 8, "dark": 3}
    assert "Low quality" in page
    good = replace(reports[SUNDAY].counts, flags=Counter())
    assert "Low quality" not in render_page(replace(reports[SUNDAY], counts=good))


def test_the_report_of_a_day_that_goes_on_says_so(reports: dict[date, DayReport]) -> None:
    sentence = "The day goes on: more files may arrive, and decisions may change until it has ended."
    assert sentence in render_page(reports[SUNDAY], is_open=True)
    assert sentence not in render_page(reports[SUNDAY])


def test_the_page_counts_images_that_were_sent_before(reports: dict[date, DayReport], page: str) -> None:
    assert reports[SUNDAY].counts.near_duplicate_count == 1
    sentence = "file is an image of this day or the 31 days before in another encoding or size."
    assert f"1 {sentence}" in page
    none = replace(reports[SUNDAY].counts, near_duplicate_count=0)
    assert sentence not in render_page(replace(reports[SUNDAY], counts=none))


def test_a_report_reads_its_day_and_the_four_weeks_before() -> None:
    days = with_days_before(["2026-11-22", "2026-11-21"])
    assert (days[0], days[-1], len(days)) == ("2026-10-24", "2026-11-22", USUAL_DAYS + 2)


def test_a_page_is_bounded(reports: dict[date, DayReport], page: str) -> None:
    report = reports[SUNDAY]
    assert (len(report.rejected), len(report.shown)) == (SHOWN_REJECTED, SHOWN_QUEUED)
    assert 0 < sum(map(len, report.images.values())) <= MAX_BYTES
    assert len(page.encode()) < 1_000_000
    assert f"and {20 - SHOWN_REJECTED} more" in page
    assert f"and {50 - SHOWN_QUEUED} more" in page


def test_a_page_has_no_scripts_and_no_external_resources(page: str) -> None:
    elements = Elements(page).found
    assert {"script", "link", "iframe", "object", "base", "form", "a", "svg"}.isdisjoint(tag for tag, _ in elements)
    policies = [each["content"] for tag, each in elements if tag == "meta" and "http-equiv" in each]
    assert policies == [POLICY]
    for _, attributes in elements:
        assert not [name for name in attributes if name.startswith("on") or name == "srcset"]
        assert re.match(r"data:image/jpeg;base64,[A-Za-z0-9+/=]+$", attributes.get("src") or "data:image/jpeg;base64,x")
        assert "url(" not in (attributes.get("style") or "")
    assert not re.search(r"@import|url\(|javascript:", page)


def test_untrusted_names_are_visible_text(page: str) -> None:
    elements = Elements(page)
    assert "<script>alert(1)</script>" in elements.text, "as the file is named"
    assert "\\u202e\\x1b[2J" in elements.text
    assert not set("\u202e\x1b") & set(page)
    assert {tag for tag, _ in elements.found} <= {
        *("html", "head", "meta", "title", "style", "body", "header", "h1", "h2", "p", "div", "section", "span", "b"),
        *("i", "u", "br", "table", "tr", "th", "td", "figure", "img", "figcaption", "code"),
    }


def test_a_page_shows_the_classifier_the_cost_and_the_drift(page: str) -> None:
    text = Elements(page).text
    assert "91.3% (95 % interval 89.0% to 93.0%)" in text
    assert "900.0 CPU-seconds, $0.01" in text
    assert "not compared, the day has fewer than 20 images" in text
    assert "Sunday, 22 November 2026" in text


def test_the_report_links_to_the_page_that_labels_its_images(reports: dict[date, DayReport]) -> None:
    page = Elements(render_page(reports[SUNDAY], "http://127.0.0.1:3002"))
    assert [each["href"] for tag, each in page.found if tag == "a"] == [f"http://127.0.0.1:3002/?day={SUNDAY}"]
    assert not [tag for tag, _ in Elements(render_page(reports[SUNDAY])).found if tag == "a"]


def test_a_label_shift_is_an_alarm_at_the_top(reports: dict[date, DayReport]) -> None:
    report = reports[SUNDAY]
    assert report.alarms == []
    moved = replace(report, drift=[compare_label_counts(str(SUNDAY), report.counts.labels, {"coat": 80})])
    (alarm,) = moved.alarms
    tags = [(tag, each.get("class")) for tag, each in Elements(render_page(moved)).found]
    assert alarm.endswith("62% moved (alarm from 10%)")
    assert ("p", "alarm") in tags


def test_a_wheel_contains_the_template_and_the_style(tmp_path: Path) -> None:
    (wheel,) = WheelBuilder(str(Path(__file__).parents[2])).build(directory=str(tmp_path), versions=["standard"])
    with zipfile.ZipFile(wheel) as files:
        assert {"pipeline/daily/daily_report.html.j2", "pipeline/daily/daily_report.css"} <= set(files.namelist())


def test_a_page_lists_a_deleted_classifier_and_a_missing_cost(reports: dict[date, DayReport]) -> None:
    page = render_page(
        replace(reports[SUNDAY], evaluations={"v0": None, "v1": {**EVALUATION, "calibration": {}}}, cost=None)
    )
    text = Elements(page).text
    assert "This version was deleted, so its accuracy is unknown." in text
    assert "target precision" not in text
    assert "No cost was recorded for this day." in text


def test_the_number_of_alarms_is_drawn_over_the_days(reports: dict[date, DayReport]) -> None:
    report = reports[SUNDAY]
    moved = replace(report, drift=[compare_label_counts(str(SUNDAY), report.counts.labels, {"coat": 80})])
    assert (report.numbers["alarm_count"], moved.numbers["alarm_count"]) == (0, 1)


def test_an_empty_day_has_a_short_page(reports: dict[date, DayReport]) -> None:
    text = Elements(render_page(reports[SUNDAY + timedelta(1)])).text
    assert "No images arrived on this day. Usually 55 files arrive." in text
    assert "1 sidecar file of operating systems, such as ._x.jpg or Thumbs.db, is not counted." in text
    assert "answered" not in text


def test_sidecar_files_are_counted_apart_on_the_page(reports: dict[date, DayReport], page: str) -> None:
    report = reports[SUNDAY]
    assert (report.counts.file_count, report.counts.sidecar_count) == (100, 3)
    assert not [row["path"] for row in report.rejected if row["path"].startswith("._")]
    assert "3 sidecar files of operating systems" in Elements(page).text
    assert "sidecar file</td>" not in page


def test_the_cost_of_a_day_is_its_part_of_the_run_and_none_if_not_recorded() -> None:
    metadata = {"embedded_count": 50, "cache_hit_count": 7, "dollars_per_million": 0.2, "cpu_seconds": 999.0}
    with dg.instance_for_test() as instance:
        assert find_cost(instance, "2026-11-22", 0.05) is None
        event = dg.AssetMaterialization("image_features", partition="2026-11-22", metadata=metadata)
        instance.report_runless_asset_event(event)
        cost = find_cost(instance, "2026-11-22", 0.05)
        assert cost is not None
        assert (cost.embedded_count, cost.cached_count) == (50, 7)
        assert cost.dollars == pytest.approx(0.00001)
        assert cost.cpu_seconds == pytest.approx(0.72)
        assert find_cost(instance, "2026-11-21", 0.05) is None


@pytest.mark.parametrize(
    ("share", "digits", "written"),
    [
        (1, 1, "100.0%"),
        (0.9996, 1, "over 99.9%"),
        (0.9994, 1, "99.9%"),
        (0.997, 0, "over 99%"),
        (0.5, 0, "50%"),
        (0, 1, "0.0%"),
        (0.0003, 1, "below 0.1%"),
        (0.004, 0, "below 1%"),
        (0.006, 0, "1%"),
    ],
)
def test_a_share_is_rounded_to_all_or_nothing_only_if_it_is(share: float, digits: int, written: str) -> None:
    assert write_percent(share, digits) == written


def test_every_length_of_the_page_is_a_number(page: str) -> None:
    lengths = re.findall(r'style="(?:width|height|left):(?:calc\()?([^;"\s)]*)', page)
    assert lengths
    assert all(re.fullmatch(r"[\d.]+%", length) for length in lengths)
