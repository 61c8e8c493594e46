"""The review server is killed after every answer, and two people answer at once: nothing is lost."""

import json
import signal
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest
from conftest import MakePhoto
from review_lake import ReviewLake
from review_site import TOKEN, ReviewProcess

from pipeline.reviews.answer_files import read_answers

KILLS = 50


@pytest.fixture
def lake(tmp_path: Path, make_photo: MakePhoto) -> ReviewLake:
    return ReviewLake(tmp_path / "lake", make_photo, count=KILLS + 20)


class Client:
    """A script in place of a browser."""

    def __init__(self, server: ReviewProcess, reviewer: str) -> None:
        self.reviewer = reviewer
        self.client = httpx.Client(base_url=server.url, follow_redirects=True)
        page = self.client.get("/", params={"token": TOKEN}).text
        self.csrf = page.split('name="daylight-csrf" content="')[1].split('"')[0]

    def next_key(self, **options: str) -> str | None:
        found = self.client.get("/api/queue", params={"reviewer": self.reviewer, **options}).json()["cards"]
        return found[0]["images"][0]["key"] if found else None

    def answer(self, key: str, label: str, **fields: Any) -> dict[str, Any]:
        body = {"reviewer": self.reviewer, "keys": [key], "label": label, **fields}
        answer = self.client.post("/api/answers", json=body, headers={"x-daylight-csrf": self.csrf})
        assert answer.status_code == 200, answer.text
        return answer.json()


def test_a_server_killed_after_each_of_fifty_answers_has_them_all(lake: ReviewLake) -> None:
    said = {}
    for number in range(KILLS):
        server = ReviewProcess(lake.root)
        client = Client(server, "anna")
        key = client.next_key()
        assert key
        assert key not in said, "an answered image never comes again"
        client.answer(key, f"label {number}")
        server.end(signal.SIGKILL)
        client.client.close()
        said[key] = f"label {number}"
    assert {str(each.key): each.label for each in read_answers(str(lake.root)).standing()} == said
    assert len(list((lake.root / "review_answers").iterdir())) == KILLS


def test_two_reviewers_at_once_lose_no_answer_and_every_difference_is_listed(lake: ReviewLake) -> None:
    said: dict[str, dict[str, str]] = {}

    def work(name: str, client: Client) -> None:
        said[name] = {}
        while key := client.next_key(is_second="1"):
            said[name][key] = f"{name if int(key[-1], 16) < 4 else 'same'}"
            client.answer(key, said[name][key], is_second=True)

    with ReviewProcess(lake.root) as server:
        clients = {name: Client(server, name) for name in ("anna", "ben")}
        threads = [threading.Thread(target=work, args=each) for each in clients.items()]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        listed = clients["anna"].client.get("/api/disagreements").json()["disagreements"]
        for client in clients.values():
            client.client.close()
    assert said["anna"].keys() == said["ben"].keys()
    stored: dict[str, dict[str, str | None]] = {"anna": {}, "ben": {}}
    for each in read_answers(str(lake.root)).standing():
        stored[each.reviewer][str(each.key)] = each.label
    assert stored == said
    differing = {key for key, label in said["anna"].items() if label != said["ben"][key]}
    assert {each["key"] for each in listed} == differing
    assert differing
    assert json.dumps(listed).count('"reviewer"') == 2 * len(differing)
