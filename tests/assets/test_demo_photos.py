"""The demo's photos: they never mix with a user's own, and are fetched once. These tests use no network."""

from pathlib import Path

import pytest

from assets.commands.demo_photos import TRUTH, DemoError, DemoPhotos, unpack_demo_photos


@pytest.fixture
def landing(tmp_path: Path) -> Path:
    """A landing zone of an earlier demo, with three labelled photos and three to classify."""
    root = tmp_path / "landing"
    arrived = {("2026-11-21", "c.jpg"): "pear", ("2026-11-20", "a.jpg"): "apple", ("2026-11-20", "b.jpg"): "pear"}
    for path in ("apple/1.jpg", "apple/2.jpg", "pear/3.jpg"):
        (root / "training" / path).parent.mkdir(parents=True, exist_ok=True)
        (root / "training" / path).write_bytes(b"labelled")
    for day, name in arrived:
        (root / "days" / day).mkdir(parents=True, exist_ok=True)
        (root / "days" / day / name).write_bytes(b"arrived")
    lines = ["day,path,label", *(f"{day},{name},{label}" for (day, name), label in sorted(arrived.items()))]
    (root / TRUTH).write_text("\n".join(lines) + "\n")
    return root


def files_below(root: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in root.rglob("*")}


def test_the_demo_finds_the_photos_of_an_earlier_demo_and_touches_nothing(landing: Path) -> None:
    before = files_below(landing)
    photos = unpack_demo_photos(str(landing))
    assert photos == DemoPhotos(
        3, {("2026-11-20", "a.jpg"): "apple", ("2026-11-20", "b.jpg"): "pear", ("2026-11-21", "c.jpg"): "pear"}
    )
    assert photos.days == ["2026-11-20", "2026-11-21"]
    assert files_below(landing) == before


@pytest.mark.parametrize("name", ["days/2026-11-20/mine.jpg", "training/cat/mine.jpg", ".hidden", "empty/"])
def test_the_demo_refuses_a_landing_zone_with_files_of_the_user(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.mkdir() if name.endswith("/") else path.write_bytes(b"mine")
    before = files_below(tmp_path)
    with pytest.raises(DemoError) as caught:
        unpack_demo_photos(str(tmp_path))
    assert str(tmp_path) in str(caught.value)
    assert "make demo DAYLIGHT_LANDING=demo/landing DAYLIGHT_LAKE=demo/lake" in str(caught.value)
    assert files_below(tmp_path) == before


def test_the_demo_refuses_an_object_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DemoError, match="s3://bucket/landing"):
        unpack_demo_photos("s3://bucket/landing")
    assert list(tmp_path.iterdir()) == []


def test_an_incomplete_demo_is_refused(landing: Path) -> None:
    (landing / TRUTH).unlink()
    with pytest.raises(DemoError):
        unpack_demo_photos(str(landing))
