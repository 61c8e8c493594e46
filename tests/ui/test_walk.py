"""A walk through the UI as a user clicks: train, predict a day, look at it, and see a bad candidate refused.

Each test continues where the previous one ended. Screenshots are saved in `screenshots/`.
"""

import io
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import COLOURS
from dagster_site import Site
from deployment import DAY, PROJECT
from PIL import Image
from playwright.sync_api import Locator, Page, expect

SCREENSHOTS = PROJECT / "screenshots"
LINEAGE = "/asset-groups?expanded=global@global:training,global@global:daily"
RUN_SECONDS = 240


def shoot(page: Page, name: str) -> None:
    SCREENSHOTS.mkdir(exist_ok=True)
    page.wait_for_timeout(1500)  # animations end
    screenshot = Image.open(io.BytesIO(page.screenshot()))
    screenshot.quantize(256).save(SCREENSHOTS / f"{name}.png", optimize=True)


def open_lineage(page: Page, site: Site) -> None:
    page.goto(site.url + LINEAGE)
    page.get_by_text("training_images", exact=True).wait_for()
    page.wait_for_timeout(1500)  # the groups unfold


def materialize_group(page: Page, group: str) -> None:
    page.get_by_text(group, exact=True).last.click(button="right")
    page.get_by_role("menuitem", name="Materialize assets").click()


def follow_run(page: Page, site: Site) -> str:
    """Waits for the end of the run that was just launched; returns its id."""
    page.get_by_text(re.compile("Launched run")).wait_for()
    page.get_by_text("View", exact=True).last.click()
    page.wait_for_url("**/runs/*")
    run_id = page.url.rpartition("/")[2].partition("?")[0]
    site.wait_until(
        lambda: site.pages.status_of(run_id) in ("SUCCESS", "FAILURE"), f"{run_id} did not end", RUN_SECONDS
    )
    return run_id


def width_of(image: Locator) -> int:
    """Returns the width in pixels; 0 if the image was not loaded."""
    return image.evaluate("image => image.naturalWidth")


@pytest.fixture(scope="module")
def trained(page: Page, site: Site) -> str:
    """Id of a training run, launched from the lineage."""
    open_lineage(page, site)
    materialize_group(page, "training")
    return follow_run(page, site)


@pytest.fixture(scope="module")
def predicted(page: Page, site: Site, trained: str) -> str:
    """Id of a daily run, launched from the dialog of partitions."""
    open_lineage(page, site)
    materialize_group(page, "daily")
    dialog = page.get_by_role("dialog")
    dialog.locator("input[type=text], input:not([type])").first.fill(DAY)
    page.keyboard.press("Enter")
    expect(dialog.get_by_text("1 partition", exact=True)).to_be_visible()
    shoot(page, "days")
    dialog.get_by_role("button", name="Launch 1 run").click()
    return follow_run(page, site)


@pytest.fixture(scope="module")
def refused(page: Page, site: Site, predicted: str) -> Iterator[str]:
    """Id of a training run on images with swapped labels."""
    swap_labels(site.root / "landing" / "training")
    open_lineage(page, site)
    materialize_group(page, "training")
    yield follow_run(page, site)
    swap_labels(site.root / "landing" / "training")


def swap_labels(training: Path) -> None:
    """Swaps two of three images with the next colour; twice restores them."""
    folders = [training / colour for colour in COLOURS]
    for seed in range(30):
        if seed % 3:
            first, second = folders[seed % 3 - 1], folders[seed % 3]
            kept = (first / f"{seed}.jpg").read_bytes()
            (first / f"{seed}.jpg").write_bytes((second / f"{seed}.jpg").read_bytes())
            (second / f"{seed}.jpg").write_bytes(kept)


def test_a_training_from_the_lineage_is_green(page: Page, site: Site, trained: str) -> None:
    assert site.pages.status_of(trained) == "SUCCESS"
    assert site.pages.maker_of("classifier") == trained


def test_a_day_from_the_dialog_is_green(page: Page, site: Site, predicted: str) -> None:
    assert site.pages.status_of(predicted) == "SUCCESS"
    expect(page.get_by_text(f"partition: {DAY}")).to_be_visible()
    shoot(page, "run")


def test_the_page_of_a_day_shows_its_images(page: Page, site: Site, predicted: str) -> None:
    page.goto(site.url)
    page.get_by_role("link", name="Catalog").click()
    page.get_by_text("predictions", exact=True).locator("visible=true").first.click()
    page.get_by_text("Partitions", exact=True).locator("visible=true").first.click()
    page.get_by_text(DAY, exact=True).locator("visible=true").last.click()
    sheet = page.get_by_role("img", name="contact_sheet")
    sheet.scroll_into_view_if_needed()
    expect(sheet).to_have_js_property("complete", True)
    assert width_of(sheet) > 0
    shoot(page, "day")


def test_a_candidate_of_swapped_labels_is_refused_and_the_page_shows_why(
    page: Page, site: Site, trained: str, refused: str
) -> None:
    assert site.pages.status_of(refused) == "FAILURE"
    assert site.pages.maker_of("classifier_candidate") == refused
    assert site.pages.maker_of("classifier") == trained
    assert not any(run["parentRunId"] for run in site.pages.list_runs()), "a refusal is not retried"
    check = "candidate_reaches_the_accuracy_floor"
    page.goto(f"{site.url}/assets/classifier_candidate?view=checks&checkDetail={check}")
    expect(page.get_by_text("DAYLIGHT_ACCURACY_FLOOR").first).to_be_visible()
    expect(page.get_by_text("Failed", exact=True).first).to_be_visible()
    shoot(page, "refused")


def test_schedules_and_the_sensor_are_there_and_off(page: Page, site: Site) -> None:
    page.goto(f"{site.url}/automation")
    for name in ("every_morning", "every_sunday", "late_files"):
        expect(page.get_by_text(name, exact=True)).to_be_visible()
    shoot(page, "automation")
    expect(page.get_by_role("checkbox", checked=True)).to_have_count(0)


def test_the_lineage_shows_both_groups(page: Page, site: Site, refused: str) -> None:
    open_lineage(page, site)
    page.get_by_role("button", name="Hide navigation").click()
    page.reload()  # fits the graph into the window
    page.get_by_text("training_images", exact=True).wait_for()
    page.wait_for_timeout(1500)
    page.locator("button:has([aria-label=panel_show_right])").last.click()
    for asset in ("reviews", "classifier", "images", "predictions", "review_form"):
        expect(page.get_by_text(asset, exact=True).last).to_be_in_viewport()
    shoot(page, "lineage")
