"""A browser and a live Dagster: Debian's Chromium, and `make dev` in its own folder."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import COLOURS, MakePhoto
from dagster_site import Site
from deployment import DAY, Deployment
from playwright.sync_api import Page, sync_playwright

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
TIMEOUT_MILLISECONDS = 30_000


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks the tests of this folder for `make test-ui`."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.ui)


@pytest.fixture(scope="session")
def page() -> Iterator[Page]:
    """One window of a laptop's size."""
    browser_path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser_path is None:
        pytest.fail(f"make test-ui needs a browser, {' or '.join(BROWSERS)}: on Debian, apt install chromium")
    sandbox = [] if os.geteuid() else ["--no-sandbox"]  # Chromium has no sandbox for root
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=sandbox)
        page = browser.new_page(viewport={"width": 1440, "height": 900}, timezone_id="UTC", locale="en-GB")
        page.set_default_timeout(TIMEOUT_MILLISECONDS)
        yield page
        browser.close()


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory, make_photo: MakePhoto) -> Iterator[Site]:
    """A live Dagster without history, with labelled images and one day of images."""
    deployment = Deployment(tmp_path_factory.mktemp("site"))
    deployment.lay_out(make_photo, labelled=30)
    for number in range(30):
        colour = list(COLOURS)[number % 3]
        (deployment.folder(DAY) / f"{number:02} {colour}.jpg").write_bytes(make_photo(colour, 1000 + number))
    with Site(deployment) as site:
        yield site
