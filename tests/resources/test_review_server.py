"""The review page's server: what it stores, what it shows, and what no request can make it do."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from conftest import MakePhoto
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from review_lake import DAY, HOSTILE, LABELS, ReviewLake
from review_site import TOKEN, ReviewSite

from pipeline.reviews.answer_files import read_answers
from pipeline.reviews.answers import BAD_IMAGE, parse_key
from resources.review.server import STATIC


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory, make_photo: MakePhoto) -> ReviewLake:
    return ReviewLake(tmp_path_factory.mktemp("lake"), make_photo)


@pytest.fixture
def site(lake: ReviewLake) -> Iterator[ReviewSite]:
    with ReviewSite(lake) as site:
        yield site
    for file in Path(lake.root).glob("review_answers/*"):
        file.unlink()


def stored(site: ReviewSite) -> dict[str, dict[str, str | None]]:
    """Labels by image and reviewer, as the training reads them."""
    found: dict[str, dict[str, str | None]] = {}
    for answer in read_answers(str(site.lake.root)).standing():
        found.setdefault(str(answer.key), {})[answer.reviewer] = answer.label
    return found


def test_an_answer_is_stored_before_the_next_image_comes(site: ReviewSite) -> None:
    key = site.cards()[0]["images"][0]["key"]
    state = site.post("/api/answers", keys=[key], label=" pear ").json()
    assert stored(site) == {key: {"anna": "pear"}}
    assert state["cards"][0]["images"][0]["key"] != key
    answer = read_answers(str(site.lake.root)).standing()[0]
    assert (answer.predicted_label, answer.classifier) == (site.pages.desk.items[parse_key(key)].predicted_label, "v1")


def test_undo_takes_the_last_action_back_and_shows_the_image_again(site: ReviewSite) -> None:
    keys = [site.lake.key(3), site.lake.key(6)]
    site.post("/api/answers", keys=keys, label="apple")
    assert len(stored(site)) == 2
    site.post("/api/undo")
    assert stored(site) == {}
    assert site.post("/api/undo").json()["error"] == "there is nothing to undo"


def test_two_reviewers_do_not_overwrite_each_other_and_the_difference_can_be_settled(site: ReviewSite) -> None:
    key = site.lake.key(3)
    site.post("/api/answers", keys=[key], label="apple")
    state = site.post("/api/answers", "ben", keys=[key], label="pear", is_second=True).json()
    assert stored(site) == {key: {"anna": "apple", "ben": "pear"}}
    assert state["disagreements"] == 1
    (found,) = site.client.get("/api/disagreements").json()["disagreements"]
    assert {each["reviewer"]: each["label"] for each in found["answers"]} == {"anna": "apple", "ben": "pear"}
    state = site.post("/api/answers", keys=[key], label="pear", settles=True).json()
    assert state["disagreements"] == 0
    assert stored(site) == {key: {"anna": "pear"}}


def test_the_answers_of_an_earlier_server_are_there(site: ReviewSite) -> None:
    site.post("/api/answers", keys=[site.lake.key(3)], label="apple")
    with ReviewSite(site.lake) as later:
        assert site.lake.key(3) not in {image["key"] for card in later.cards() for image in card["images"]}
        later.post("/api/undo")
        assert stored(later) == {}


def test_a_label_issue_is_shown_with_its_near_duplicate_and_settled_without_a_day(site: ReviewSite) -> None:
    shown = {image["key"]: image for image in all_images(site)}
    issue = shown[f"labelled/{site.lake.ids['labelled 1']}"]
    assert (issue["label"], issue["other_id"]) == (LABELS[1], site.lake.ids["labelled 2"])
    assert [choice["label"] for choice in issue["choices"]] == [LABELS[1], LABELS[2]]
    site.post("/api/answers", keys=[issue["key"]], label=BAD_IMAGE)
    assert stored(site) == {issue["key"]: {"anna": BAD_IMAGE}}


def test_nothing_that_the_server_says_about_an_open_audit_reveals_a_prediction(site: ReviewSite) -> None:
    """Every answer about the audit, and every image's neighbours, with other predictions in the tables."""
    before = audit_answers(site)
    for key, item in list(site.pages.desk.items.items()):
        if item.is_blind:
            changed = {"predicted_label": "pear", "likely": (("pear", 0.9),), "rank": 0.9, "note": "pear with 90%"}
            site.pages.desk.items[key] = type(item)(**{**fields_of(item), **changed})
    site.pages.desk._known = None
    site.pages.desk._is_ordered = False
    assert audit_answers(site) == before
    assert "probability" not in before
    for number in (0, 1, 2):
        answer = site.client.get(f"/api/similar/{site.lake.key(number)}")
        assert (answer.status_code, "answer this image first: it is in the blind audit" in answer.text) == (400, True)
    neighbours = site.client.get(f"/api/similar/{site.lake.key(3)}").json()["similar"]
    audited = [
        each for each in neighbours if each["key"] in {site.lake.key(number) for number in (0, 1, 2, 10, 11, 12)}
    ]
    assert audited
    assert {(each["predicted_label"], each["confidence"]) for each in audited} == {(None, None)}


def audit_answers(site: ReviewSite) -> str:
    cards = [card for grouped in "01" for card in site.cards(is_grouped=grouped) if card["images"][0]["is_blind"]]
    return json.dumps([cards, site.client.get("/").text])


def fields_of(item: Any) -> dict[str, Any]:
    return {name: getattr(item, name) for name in item.__slots__}


def all_images(site: ReviewSite) -> list[dict[str, Any]]:
    """Every image of the queue, by skipping through it."""
    seen: dict[str, dict[str, Any]] = {}
    while new := [image for card in site.cards() for image in card["images"] if image["key"] not in seen]:
        seen |= {image["key"]: image for image in new}
        site.post("/api/skip", keys=[image["key"] for image in new])
    return list(seen.values())


def test_images_are_encoded_anew_and_the_stored_bytes_never_leave(site: ReviewSite) -> None:
    for key in (site.lake.key(4), f"labelled/{site.lake.ids['labelled 0']}"):
        answer = site.client.get(f"/images/large/{key}")
        assert (answer.headers["content-type"], answer.headers["x-content-type-options"]) == ("image/jpeg", "nosniff")
        assert answer.content[:3] == b"\xff\xd8\xff"
        assert b"Exif" not in answer.content
    assert site.client.get(f"/images/large/{DAY}/{'0' * 64}").status_code == 404


def test_hostile_names_and_labels_stay_text(site: ReviewSite) -> None:
    shown = [image for image in all_images(site) if image["path"].startswith("<img")]
    assert [image["path"] for image in shown] == [HOSTILE.replace("\u202e", "\\u202e")]
    site.post("/api/answers", keys=[site.lake.key(4)], label="</script><script>alert(1)</script>")
    page = site.client.get("/").text
    assert "alert(1)" not in page
    assert not re.search(r"\son\w+=|style=|<script(?! type=\"module\" src=)|javascript:", page)


def test_the_read_only_mode_shows_images_and_saves_nothing(lake: ReviewLake) -> None:
    with ReviewSite(lake, is_read_only=True) as site:
        assert site.client.get(f"/images/small/{lake.key(3)}").status_code == 200
        answer = site.post("/api/answers", keys=[lake.key(3)], label="apple")
        assert (answer.status_code, stored(site)) == (403, {})
        assert "Read-only" in site.client.get("/").text


def test_a_full_disk_is_said_and_the_image_stays(site: ReviewSite, monkeypatch: pytest.MonkeyPatch) -> None:
    assert site.pages.log
    monkeypatch.setattr("resources.review.answer_log.os.write", lambda file, content: len(content) - 1)
    answer = site.post("/api/answers", keys=[site.lake.key(3)], label="apple")
    assert (answer.status_code, "could not be stored" in answer.json()["error"]) == (507, True)
    monkeypatch.undo()
    assert stored(site) == {}
    site.post("/api/answers", keys=[site.lake.key(3)], label="apple")
    assert stored(site) == {site.lake.key(3): {"anna": "apple"}}


# Who may ask


def test_without_the_token_there_is_nothing_but_the_form(site: ReviewSite) -> None:
    stranger = site.connect()
    assert "Token that" in stranger.get("/").text
    assert site.gate.csrf not in stranger.get("/").text
    paths = ("/api/queue?reviewer=anna", "/api/labels", "/api/disagreements", f"/images/small/{site.lake.key(3)}")
    assert {stranger.get(path).status_code for path in paths} == {401}
    headers = {"x-daylight-csrf": site.gate.csrf}
    answer = stranger.post(
        "/api/answers", json={"reviewer": "eve", "keys": [site.lake.key(3)], "label": "x"}, headers=headers
    )
    assert (answer.status_code, stored(site)) == (401, {})


def test_a_wrong_token_is_refused(site: ReviewSite) -> None:
    stranger = site.connect()
    for body in (b"", b"token=", b"token=wrong", b"token=a+secre", b"token=%ed%a0%80", b"token=%c3%bc", b"\xff" * 99):
        stranger.post("/login", content=body)
        assert not stranger.cookies


def test_the_token_becomes_a_cookie_and_leaves_the_address(site: ReviewSite) -> None:
    browser = site.connect()
    answer = browser.get("/", params={"token": TOKEN, "day": "2026-11-27"}, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/?day=2026-11-27")
    cookie = answer.headers["set-cookie"]
    assert all(each in cookie for each in ("HttpOnly", "SameSite=lax", f"daylight-review-{site.port}"))
    assert TOKEN not in cookie
    assert browser.post("/login", data={"token": TOKEN}).status_code == 200


def test_another_site_cannot_answer(site: ReviewSite) -> None:
    fields = {"reviewer": "anna", "keys": [site.lake.key(3)], "label": "apple"}
    good = {"x-daylight-csrf": site.gate.csrf}
    for headers in (
        {},
        {"x-daylight-csrf": "wrong"},
        {**good, "origin": "http://evil.example"},
        {**good, "origin": "null"},
        {**good, "origin": "http://[evil"},
        {**good, "sec-fetch-site": "cross-site"},
        {**good, "host": "evil.example"},
        {**good, "host": "127.0.0.1:80"},
    ):
        assert site.client.post("/api/answers", json=fields, headers=headers).status_code in (403, 421), headers
    content = json.dumps(fields).encode()
    plain = site.client.post("/api/answers", content=content, headers={**good, "content-type": "text/plain"})
    assert (plain.status_code, stored(site)) == (400, {})


def test_every_answer_forbids_foreign_content(site: ReviewSite) -> None:
    for path in ("/", "/static/review.js", "/api/labels", "/nowhere", f"/images/small/{site.lake.key(3)}"):
        policy = site.client.get(path).headers["content-security-policy"]
        assert policy.startswith("default-src 'none'")
        assert "unsafe" not in policy


def test_every_file_of_the_page_is_served_and_no_other(site: ReviewSite) -> None:
    for name in STATIC:
        assert site.client.get(f"/static/{name}").status_code == 200
    for path in (
        "/static/..%2fserver.py",
        "/static/%2e%2e/gate.py",
        "/static/review.html.j2",
        "/static/",
        "/static//etc/passwd",
    ):
        assert site.client.get(path).status_code == 404, path


# Fuzz

PATHS = (
    *("/", "/login", "/static/", "/api/queue", "/api/labels", "/api/answers", "/api/undo", "/api/skip"),
    *("/api/disagreements", "/api/similar/", "/images/", "/api/export/", "/api/nothing"),
)
NAMES = ("reviewer", "keys", "label", "day", "is_grouped", "is_second", "settles", "token", "extra")
PIECES = (
    *("", "..", "%2e%2e%2f", "/etc/passwd", "\x00", "a" * 64, "labelled", str(DAY), "0000-00-00", "9999-99-99"),
    *("large", "small", "labelled/" + "a" * 64, "\ud800", "\u202e", "1e999", "🍎" * 300),
)
TEXTS = st.sampled_from(PIECES) | st.text(max_size=20)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=5,
)
FIELDS = st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=len(NAMES))
BODIES = FIELDS.map(lambda fields: json.dumps(fields).encode()) | st.sampled_from(
    (b"", b"{", b"\xff\xfe", b"[" * 5000, b"[]", b'{"keys": 1e999}')
)


@pytest.fixture(scope="module")
def fuzzed(lake: ReviewLake) -> Iterator[ReviewSite]:
    with ReviewSite(lake) as site:
        yield site
    for file in Path(lake.root).glob("review_answers/*"):
        file.unlink()


@settings(max_examples=500, deadline=None, derandomize=True, database=None)
@given(
    method=st.sampled_from(("GET", "POST", "HEAD", "PUT", "DELETE")),
    path=st.sampled_from(PATHS),
    parts=st.lists(TEXTS, max_size=3),
    query=st.dictionaries(st.sampled_from(NAMES), TEXTS, max_size=3),
    body=BODIES,
    kind=st.sampled_from(("application/json", "text/x", "")),
)
def test_no_request_makes_the_server_fail_or_read_a_file(
    fuzzed: ReviewSite, method: str, path: str, parts: list[str], query: dict[str, str], body: bytes, kind: str
) -> None:
    before = files_of(fuzzed)
    address = path + "/".join(quote(part, safe="%/", errors="surrogatepass") for part in parts)
    assume(not address.startswith("//"))  # the client would take it for the address of another host
    params = {name: quote(text, errors="surrogatepass") for name, text in query.items()}
    headers = {"x-daylight-csrf": fuzzed.gate.csrf, "content-type": kind}
    answer = fuzzed.client.request(
        method, address, params=params, content=body, headers=headers, follow_redirects=False
    )
    assert answer.status_code < 500
    assert Path("/etc/passwd").read_bytes()[:40] not in answer.content
    assert files_of(fuzzed) == before, "nothing is written but answers"


def files_of(site: ReviewSite) -> set[Path]:
    return {file for file in site.lake.root.rglob("*") if file.parent.name != "review_answers"}
