"""An image is forgotten: afterwards no file of the lake and of the instance has its id, its path or its bytes."""

import csv
import io
import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import dagster as dg
import onnx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import COLOURS, MakePhoto, make_tiny_graph
from deltalake import DeltaTable
from PIL import Image
from pyspark.sql import SparkSession

from assets.commands import forget
from assets.definitions import build_definitions
from pipeline.reports.markdown import escape_markdown
from resources.instance.day_tags import tag_days
from resources.lake.lake import Lake
from resources.lake.maintenance import compact_lake
from resources.settings import Settings, read_settings

pytestmark = pytest.mark.slow

DAY, NEXT_DAY = "2026-11-20", "2026-11-21"
LABELLED, ARRIVED = "red/Ms Smith, 12 Elm St.jpg", "cam 7/portrait of Ms Smith.jpg"
TRAIN_SEEDS = 30


class Site:
    """A landing zone, a lake and an instance in a folder."""

    def __init__(self, root: Path, settings: Settings, instance: dg.DagsterInstance) -> None:
        self.root, self.settings, self.instance = root, settings, instance

    def run(self, job: str, *days: str) -> set[str]:
        """Runs a job; returns the failed steps."""
        definition = build_definitions(self.settings).resolve_job_def(job)
        result = definition.execute_in_process(instance=self.instance, tags=tag_days(days), raise_on_error=False)
        return {str(event.step_key) for event in result.all_events if event.is_step_failure}

    def land(self, path: str, content: bytes) -> None:
        file = Path(self.settings.landing, path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)

    def forget(self, *arguments: str) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", ["forget", *arguments])
            forget.main()


@pytest.fixture(scope="module")
def content(make_photo: MakePhoto) -> bytes:
    return make_photo("red", 777)


@pytest.fixture(scope="module", params=["days", "never"])
def site(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    make_photo: MakePhoto,
    content: bytes,
    spark: SparkSession,
) -> Iterator[Site]:
    """Two trainings and three runs of two days: the image is labelled, arrives on both days, and is reviewed.

    Its bytes are in the lake, or in the landing zone alone.
    """
    root = tmp_path_factory.mktemp("site")
    onnx.save(make_tiny_graph(), root / "tiny.onnx")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        for name, value in {
            "LANDING": str(root / "landing"),
            "LAKE": str(root / "lake"),
            "BACKBONE": str(root / "tiny.onnx"),
            "PIXEL_SCALING": "unit",
            "FIT": "letterbox",
            "PRECISION": "fp32",
            "SPARK_MASTER": "local[2]",
            "STORE_BYTES": request.param,
        }.items():
            patch.setenv(f"DAYLIGHT_{name}", value)
        (root / "instance").mkdir()
        with dg.instance_for_test(temp_dir=str(root / "instance")) as instance:
            site = Site(root, read_settings(), instance)
            for colour in COLOURS:
                for seed in range(TRAIN_SEEDS):
                    site.land(f"training/{colour}/{seed}.jpg", make_photo(colour, seed))
            site.land(f"training/{LABELLED}", content)
            site.land("training/red/near-duplicate.png", encode_again(content))
            for day in (DAY, NEXT_DAY):
                site.land(f"days/{day}/{ARRIVED}", content)
                site.land(f"days/{day}/other.jpg", make_photo("blue", 1000))
                site.land(f"days/{day}/broken {day}.jpg", b"not an image")
            site.settings = site.settings.replace(max_rejected_share=1.0, audit_min=3, audit_max=3, accuracy_floor=0.0)
            assert not site.run("training")
            assert not site.run("daily", DAY, NEXT_DAY)
            assert not site.run("daily", DAY)
            compact_lake(Lake(root=site.settings.lake))
            site.land("reviews/filled.csv", fill_in(site))
            assert site.run("training") <= {"gate"}, "a candidate that is no better is refused"
            yield site


def encode_again(content: bytes) -> bytes:
    file = io.BytesIO()
    Image.open(io.BytesIO(content)).save(file, "PNG")
    return file.getvalue()


def fill_in(site: Site) -> bytes:
    """The form of the day, filled in."""
    form = Path(site.settings.lake, "review_forms", f"{DAY}.csv").read_bytes().decode("utf-8-sig")
    lines = list(csv.DictReader(io.StringIO(form, newline="")))
    assert ARRIVED in {line["path"] for line in lines}
    file = io.StringIO(newline="")
    writer = csv.DictWriter(file, lines[0].keys())
    writer.writeheader()
    writer.writerows(line | {"label": "red"} for line in lines)
    return file.getvalue().encode()


def search(site: Site, content: bytes) -> dict[str, set[str]]:
    """All files of the lake and the instance with traces of the image, and which traces."""
    digest = sha256(content).hexdigest()
    traces = {
        "id": digest.encode(),
        "key": bytes.fromhex(digest[:16])[::-1],
        "bytes": content[len(content) // 2 :][:64],
        **{f"path {path}": path.encode() for path in (LABELLED, ARRIVED)},
        **{f"path on a page {path}": escape_markdown(path).encode() for path in (LABELLED, ARRIVED)},
        "name": b"Ms Smith",
    }
    found: dict[str, set[str]] = {}
    for root in (Path(site.settings.lake), site.root / "instance"):
        for file in root.rglob("*"):
            if file.is_file():
                held = decode(file)
                if names := {name for name, trace in traces.items() if trace in held}:
                    found[str(file.relative_to(site.root))] = names
    return found


def decode(file: Path) -> bytes:
    """The bytes of a file, and of Parquet all values too."""
    held = file.read_bytes()
    if file.suffix == ".parquet":
        for column in pq.read_table(file, partitioning=None).columns:
            values = column.to_pylist()
            held += b"\n".join(v if isinstance(v, bytes) else str(v).encode() for v in values)
            if column.type == pa.uint64():
                held += b"".join(value.to_bytes(8, "little") for value in values)
    return held


def rooms(found: dict[str, set[str]]) -> set[str]:
    return {path.split("/")[1] for path in found}


def test_an_image_is_shown_and_then_erased_from_everywhere(
    site: Site, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    before = search(site, content)
    tables = {"images", "image_features", "predictions", "feature_cache", "reviews", "review_queue"}
    tables |= {"training_images", "training_features", "training_split", "near_duplicates", "label_issues"}
    assert rooms(before) > tables | {"review_forms", "models"}, sorted(before)
    assert any(path.startswith("lake/feature_cache/_index") and "key" in names for path, names in before.items())
    counts = {name: DeltaTable(site.settings.lake + f"/{name}").to_pyarrow_table().num_rows for name in tables}

    site.forget(ARRIVED)
    shown = capsys.readouterr().out
    assert "nothing is yet" in shown
    assert "LEARNED FROM IT" in shown
    assert f"days/{NEXT_DAY}/{ARRIVED}" in shown
    assert "reviews/filled.csv" in shown
    assert search(site, content) == before, "showing changes nothing"

    site.forget("--yes", ARRIVED)
    erased = capsys.readouterr().out
    assert "LEARNED FROM IT" in erased
    left = search(site, content)
    assert left == {}

    removed = {
        name: counts[name] - DeltaTable(site.settings.lake + f"/{name}").to_pyarrow_table().num_rows for name in tables
    }
    assert all(removed.values()), removed
    assert {name: removed[name] for name in ("images", "image_features", "predictions", "training_images")} == {
        **dict.fromkeys(("images", "image_features", "predictions"), 2),
        "training_images": 2,  # by its folder and by its review
    }
    assert not list((site.root / "instance").rglob("*.jpg")), "a labelled image may be on every page"


def test_what_was_forgotten_can_be_forgotten_again_by_its_id_alone(
    site: Site, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="this lake has no image"):
        site.forget(ARRIVED)
    site.forget("--yes", sha256(content).hexdigest())
    assert "0 files of tables" in capsys.readouterr().out


def test_jobs_and_pages_go_on_without_the_image(site: Site, content: bytes) -> None:
    for file in Path(site.settings.landing).rglob("*"):
        if file.is_file() and (file.read_bytes() == content or file.name == "filled.csv"):
            file.unlink()
    assert site.instance.get_latest_materialization_event(dg.AssetKey("label_issues")) is not None
    assert site.instance.get_materialized_partitions(dg.AssetKey("predictions")) == {DAY, NEXT_DAY}
    assert site.run("training") <= {"gate"}
    assert not site.run("daily", DAY, NEXT_DAY)
    assert search(site, content) == {}
    rows = DeltaTable(site.settings.lake + "/predictions").to_pyarrow_table().to_pylist()
    assert len(rows) == 4
