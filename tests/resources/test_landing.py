"""The landing zone: a missing folder is an error with the folder, the setting and the cure."""

import re
from datetime import date
from pathlib import Path

import pytest

from resources.landing import LandingError, LandingZone


@pytest.fixture
def zone(tmp_path: Path) -> LandingZone:
    for day in ("2026-11-20", "2026-11-21"):
        (tmp_path / "days" / day).mkdir(parents=True)
    return LandingZone(landing=str(tmp_path), training=str(tmp_path / "training"))


def test_every_day_has_its_folder_and_an_empty_one_is_a_quiet_day(zone: LandingZone, tmp_path: Path) -> None:
    assert zone.day_folders(["2026-11-20", "2026-11-21"]) == {
        date(2026, 11, 20): str(tmp_path / "days" / "2026-11-20"),
        date(2026, 11, 21): str(tmp_path / "days" / "2026-11-21"),
    }


def test_a_missing_day_is_an_error_with_the_cure(zone: LandingZone, tmp_path: Path) -> None:
    with pytest.raises(LandingError) as caught:
        zone.day_folders(["2026-11-20", "2026-11-22", "2026-11-23"])
    text = str(caught.value)
    assert str(tmp_path / "days" / "2026-11-22") in text
    assert "2026-11-22, 2026-11-23 cannot be read" in text
    assert "2026-11-20" not in text
    assert "if none came, make the folder empty, or in an object store an empty file of that name" in text
    assert "DAYLIGHT_LANDING" in text
    assert caught.value.days == ("2026-11-22", "2026-11-23")


def test_an_empty_file_in_place_of_a_folder_is_a_day_without_images(zone: LandingZone, tmp_path: Path) -> None:
    (tmp_path / "days" / "2026-11-22").touch()
    assert zone.day_folders(["2026-11-22"]) == {date(2026, 11, 22): None}


def test_a_quiet_day_needs_no_folder_unless_its_images_are_stored(zone: LandingZone, tmp_path: Path) -> None:
    sunday, monday = "2026-11-22", "2026-11-23"
    quiet = zone.model_copy(update={"quiet_days": "Sun"})
    assert quiet.day_folders([sunday]) == {date(2026, 11, 22): None}
    for days, stored in (([monday], []), ([sunday], [sunday])):
        with pytest.raises(LandingError, match=days[0]):
            quiet.day_folders(days, stored)
    (tmp_path / "days" / sunday).mkdir()
    assert quiet.day_folders([sunday], [sunday]) == {date(2026, 11, 22): str(tmp_path / "days" / sunday)}


def test_a_file_instead_of_a_day_is_an_error(zone: LandingZone, tmp_path: Path) -> None:
    (tmp_path / "days" / "2026-11-22").write_bytes(b"no folder")
    with pytest.raises(LandingError, match="2026-11-22"):
        zone.day_folders(["2026-11-22"])


def test_a_missing_training_folder_is_an_error_with_the_cure(zone: LandingZone, tmp_path: Path) -> None:
    cure = "does not exist: put labelled images there as <label>/<file>, or set DAYLIGHT_TRAINING to another folder"
    with pytest.raises(LandingError, match=re.escape(f"{tmp_path / 'training'} {cure}")):
        zone.training_folder()
    (tmp_path / "training").mkdir()
    assert zone.training_folder() == str(tmp_path / "training")


def test_a_landing_zone_may_be_a_uri(zone: LandingZone, tmp_path: Path) -> None:
    named = LandingZone(landing=tmp_path.as_uri(), training=f"{tmp_path.as_uri()}/training")
    assert named.day_folders(["2026-11-20"]) == {date(2026, 11, 20): f"{tmp_path.as_uri()}/days/2026-11-20"}
    with pytest.raises(LandingError, match=r"file://.*/2026-11-22 does not exist"):
        named.day_folders(["2026-11-22"])
    with pytest.raises(LandingError, match=r"file://.*/training does not exist"):
        named.training_folder()
