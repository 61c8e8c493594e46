"""The review page in a browser: labelled by keyboard alone and by mouse alone, readable, and without an error."""

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import MakePhoto
from deployment import PROJECT
from playwright.sync_api import Page, expect
from review_labeller import Labeller
from review_lake import HOSTILE, LABELS, ReviewLake
from review_site import TOKEN, ReviewProcess

from pipeline.reviews.answer_files import read_answers

AXE = PROJECT / ".node" / "ui" / "node_modules" / "axe-core" / "axe.min.js"
SCREENSHOTS = PROJECT / "screenshots"
BLIND = sorted(LABELS)  # the labels of an image of the audit: all are equally frequent


@pytest.fixture
def lake(tmp_path: Path, make_photo: MakePhoto) -> ReviewLake:
    return ReviewLake(tmp_path / "lake", make_photo)


@pytest.fixture
def server(lake: ReviewLake) -> Iterator[ReviewProcess]:
    with ReviewProcess(lake.root) as server:
        yield server


@pytest.fixture
def window(page: Page) -> Iterator[Page]:
    """A window of its own, that fails the test if its console shows an error."""
    browser = page.context.browser
    assert browser
    context = browser.new_context(viewport={"width": 1280, "height": 800}, locale="en-GB")
    window, errors = context.new_page(), []
    window.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    window.on("pageerror", lambda error: errors.append(str(error)))
    yield window
    context.close()
    assert errors == []


@pytest.fixture
def truth(lake: ReviewLake) -> dict[str, str]:
    """What the images show: the prediction is right, but for every fifth image, and no label issue is one."""
    arrived = {lake.key(number): LABELS[(number + (number % 5 == 4)) % 3] for number in range(20)}
    return arrived | {f"labelled/{lake.ids[f'labelled {number}']}": LABELS[number % 3] for number in range(6)}


def stored(lake: ReviewLake) -> dict[str, str | None]:
    return {str(answer.key): answer.label for answer in read_answers(str(lake.root)).standing()}


@pytest.mark.parametrize("has_mouse", [False, True], ids=["keyboard", "mouse"])
@pytest.mark.parametrize("is_grouped", [True, False], ids=["groups", "single"])
def test_a_whole_queue_is_labelled_and_every_label_is_stored(
    lake: ReviewLake, server: ReviewProcess, window: Page, truth: dict[str, str], has_mouse: bool, is_grouped: bool
) -> None:
    labeller = Labeller(window, truth, has_mouse)
    labeller.enter(server.url, TOKEN)
    if not is_grouped:
        window.locator("#grouped").uncheck()
        window.locator("#grouped").blur()
    labeller.work(1000, max_actions=100)
    expect(window.get_by_text("All images of this queue are answered")).to_be_visible()
    assert stored(lake) == labeller.said == {key: truth[key] for key in labeller.said}
    assert len(labeller.said) == 21
    assert labeller.actions / len(labeller.said) <= (1.1 if is_grouped else 1.3)


def test_undo_skip_and_the_other_answers_have_keys(lake: ReviewLake, server: ReviewProcess, window: Page) -> None:
    labeller = Labeller(window, {})
    labeller.enter(server.url, TOKEN)
    window.locator("#grouped").uncheck()
    window.locator("#grouped").blur()
    said = {}
    for key, label in (("n", "(none)"), ("c", "(cannot tell)"), ("b", "(bad image)"), ("1", BLIND[0])):
        said[press(window, key)] = label
    assert stored(lake) == said
    skipped = press(window, "ArrowRight")
    last = next(reversed(said))
    press(window, "ArrowLeft")
    assert labeller.shown == [last]
    assert stored(lake) == {key: label for key, label in said.items() if key != last}
    assert skipped not in stored(lake)
    window.keyboard.press("/")
    window.keyboard.type("<i>new</i>")
    expect(window.locator("#found li")).to_have_text("New label: <i>new</i>")
    press(window, "Enter")
    assert stored(lake)[last] == "<i>new</i>"


def press(window: Page, key: str) -> str:
    """Presses a key and waits for the next image; returns the key of the image that was shown."""
    shown = window.locator("body").get_attribute("data-shown") or ""
    window.keyboard.press(key)
    window.locator(f'body:not([data-shown="{shown}"])').wait_for()
    return shown


def test_images_alike_are_found_and_named_together(lake: ReviewLake, server: ReviewProcess, window: Page) -> None:
    Labeller(window, {}).enter(server.url, TOKEN)
    window.goto(f"{server.url}/?image={lake.key(4)}")
    tiles = window.locator("#similar-images .tile")
    tiles.first.wait_for()
    keys = [str(tile.get_attribute("data-key")) for tile in tiles.all()[:3]]
    for tile in tiles.all()[:3]:
        tile.click()
    window.locator("#similar-label").fill("apple")
    window.locator("#similar-form").get_by_role("button", name="Save").click()
    window.locator("#similar-dialog").wait_for(state="hidden")
    expect(window.locator("#waiting")).not_to_have_text("21 images wait")
    assert stored(lake) == dict.fromkeys(keys, "apple")


def test_two_reviewers_disagree_and_one_of_them_settles_it(
    lake: ReviewLake, server: ReviewProcess, window: Page
) -> None:
    anna, ben = Labeller(window, {}), Labeller(window.context.new_page(), {})
    anna.enter(server.url, TOKEN, "Anna")
    ben.enter(server.url, TOKEN, "Ben")
    key = anna.shown[0]
    assert ben.shown == [key]
    press(window, "1")
    press(ben.page, "2")
    ben.page.get_by_role("button", name="1 disagreements").click()
    expect(ben.page.get_by_text(f"Anna: {BLIND[0]} · Ben: {BLIND[1]}")).to_be_visible()
    ben.page.locator("#disagreement-list").get_by_role("button", name=BLIND[1]).click()
    expect(ben.page.locator("#disagreements")).to_be_hidden()
    answers = read_answers(str(lake.root))
    assert [(each.reviewer, each.label) for each in answers.standing()] == [("Ben", BLIND[1])]


def test_a_server_that_was_killed_is_said_and_loses_nothing(
    lake: ReviewLake, server: ReviewProcess, page: Page
) -> None:
    browser = page.context.browser
    assert browser
    window = browser.new_page()
    Labeller(window, {}).enter(server.url, TOKEN)
    key = press(window, "1")
    server.end(signal.SIGKILL)
    window.keyboard.press("1")
    expect(window.get_by_role("alert")).to_contain_text("The server does not answer")
    assert stored(lake) == {key: BLIND[0]}
    window.close()


def test_hostile_names_are_text(lake: ReviewLake, server: ReviewProcess, window: Page) -> None:
    labeller = Labeller(window, {})
    labeller.enter(server.url, TOKEN)
    window.locator("#grouped").uncheck()
    window.locator("#grouped").blur()
    while labeller.shown != [lake.key(4)]:
        press(window, "s")
    expect(window.locator("#caption")).to_have_text(HOSTILE.replace("\u202e", "\\u202e"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_breaks_a_rule_of_accessibility(
    lake: ReviewLake, server: ReviewProcess, window: Page, truth: dict[str, str], scheme: str
) -> None:
    """Logging in, the audit, a group, the search, similar images and the end, by axe-core's rules."""
    window.emulate_media(color_scheme=scheme)
    window.goto(server.url)
    check_rules(window, f"review-{scheme}-login")
    labeller = Labeller(window, truth)
    labeller.enter(server.url, TOKEN)
    window.locator("#progress summary").click()
    check_rules(window, f"review-{scheme}-audit")
    while len(labeller.shown) == 1:
        labeller.answer()
    window.keyboard.press("q")
    check_rules(window, f"review-{scheme}-group")
    window.keyboard.press("/")
    window.keyboard.type("a")
    check_rules(window, f"review-{scheme}-search")
    window.keyboard.press("Escape")
    window.keyboard.press("m")
    window.locator("#similar-images .tile").first.wait_for()
    check_rules(window, f"review-{scheme}-similar")
    window.keyboard.press("Escape")
    labeller.work(1000, max_actions=200)
    check_rules(window, f"review-{scheme}-end")


def check_rules(window: Page, name: str) -> None:
    """Takes a screenshot, and finds no violation that axe-core calls serious or critical."""
    assert AXE.exists(), "axe-core is missing: run `make .node/ui/installed`"
    SCREENSHOTS.mkdir(exist_ok=True)
    window.screenshot(path=SCREENSHOTS / f"{name}.png")
    window.evaluate(AXE.read_text())
    found: list[dict[str, Any]] = window.evaluate("() => axe.run().then(({ violations }) => violations)")
    serious = [each for each in found if each["impact"] in ("serious", "critical")]
    assert [(each["id"], [node["html"] for node in each["nodes"]]) for each in serious] == []


def test_it_works_on_a_tablet_with_touch(lake: ReviewLake, server: ReviewProcess, page: Page) -> None:
    browser = page.context.browser
    assert browser
    context = browser.new_context(viewport={"width": 820, "height": 1180}, has_touch=True, is_mobile=True)
    window = context.new_page()
    Labeller(window, {}).enter(server.url, TOKEN)
    expect(window.locator("#images img")).to_be_in_viewport()
    shown = window.locator("body").get_attribute("data-shown")
    window.locator("#choices button").first.tap()
    window.locator(f'body:not([data-shown="{shown}"])').wait_for()
    assert stored(lake) == {shown: BLIND[0]}
    assert window.evaluate("document.documentElement.scrollWidth <= innerWidth"), "nothing is cut off"
    context.close()
