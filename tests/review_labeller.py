"""A person at the review page who knows what every image shows; every key and every click counts."""

from collections import Counter
from collections.abc import Mapping

from playwright.sync_api import Page

LETTERS = "qwertyiopdfghjkzxv"


class Labeller:
    """Works with the keyboard alone, or with the mouse alone."""

    def __init__(self, page: Page, truth: Mapping[str, str], has_mouse: bool = False) -> None:
        self.page, self.truth, self.has_mouse = page, truth, has_mouse
        self.actions = 0
        self.said: dict[str, str] = {}

    def enter(self, url: str, token: str, name: str = "Anna") -> None:
        """Logs in with the address that the console shows, and types the name once."""
        self.page.goto(f"{url}/?token={token}")
        self.page.locator("#reviewer").fill(name)
        self.page.locator("#reviewer").press("Enter")
        self.page.locator("body[data-shown]").wait_for()

    def work(self, count: int, max_actions: int = 10_000) -> None:
        """Labels this number of images, or all there are."""
        while len(self.said) < count and self.shown and self.actions < max_actions:
            self.answer()

    @property
    def shown(self) -> list[str]:
        """Keys of the images in front of the person; none at the end of the queue."""
        shown = self.page.locator("body").get_attribute("data-shown") or ""
        return [] if shown == "end" else shown.split(" ")

    def answer(self) -> None:
        """Answers for what most of the shown images are, with the others as exceptions."""
        keys = self.shown
        label = Counter(self.truth[key] for key in keys).most_common(1)[0][0]
        exceptions = [place for place, key in enumerate(keys) if self.truth[key] != label]
        for place in exceptions:
            self._do(LETTERS[place], f"#images .tile >> nth={place}")
        self._say(label)
        self.page.locator(f'body:not([data-shown="{" ".join(keys)}"])').wait_for()
        self.said |= {key: label for place, key in enumerate(keys) if place not in exceptions}

    def _say(self, label: str) -> None:
        choices = self.page.locator("#choices .name").all_inner_texts()
        if label in choices:
            place = choices.index(label)
            self._do(str(place + 1), f"#choices button >> nth={place}")
        elif self.has_mouse:
            self._do("", "#search")
            options = self.page.locator("#found li").all_inner_texts()
            self._do("", f"#found li >> nth={options.index(label)}")
        else:
            for key in ("/", *label, "Enter"):
                self._do(key, "")

    def _do(self, key: str, place: str) -> None:
        self.actions += 1
        if self.has_mouse:
            self.page.locator(place).click()
        else:
            self.page.keyboard.press(key)
