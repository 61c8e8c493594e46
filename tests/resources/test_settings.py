"""Settings: every variable has a default that works on a laptop, and a bad value names its variable."""

from datetime import date
from pathlib import Path

import pytest

from pipeline.embed.limits import Limits
from pipeline.reviews.audit import AuditSize
from resources.settings import SettingError, Settings, read_settings

VARIABLES = (
    "DAYLIGHT_LANDING",
    "DAYLIGHT_TRAINING",
    "DAYLIGHT_LABEL_PATTERN",
    "DAYLIGHT_LAKE",
    "DAYLIGHT_BACKBONE",
    "DAYLIGHT_PRECISION",
    "DAYLIGHT_START_DAY",
    "DAYLIGHT_SPARK_MASTER",
    "DAYLIGHT_ACCURACY_FLOOR",
    "DAYLIGHT_WEIGHTS",
    "DAYLIGHT_FEATURES_TENSOR",
    "DAYLIGHT_PIXEL_SCALING",
    "DAYLIGHT_CORE_HOUR_DOLLARS",
    "DAYLIGHT_MAX_BYTES",
    "DAYLIGHT_MAX_PIXELS",
    "DAYLIGHT_MAX_SECONDS",
    "DAYLIGHT_MAX_MEMORY_BYTES",
    "DAYLIGHT_MAX_REJECTED_SHARE",
    "DAYLIGHT_RECALL_FLOOR",
    "DAYLIGHT_MAX_CALIBRATION_ERROR",
    "DAYLIGHT_MAX_SLOWDOWN",
    "DAYLIGHT_MAX_GROWTH",
    "DAYLIGHT_AUDIT_SHARE",
    "DAYLIGHT_AUDIT_LEAST",
    "DAYLIGHT_AUDIT_MOST",
    "DAYLIGHT_KEEP_RUNS_DAYS",
    "DAYLIGHT_KEEP_PICTURES_DAYS",
)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty environment in an empty folder."""
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path.resolve()


def test_an_empty_environment_gives_the_defaults(folder: Path) -> None:
    assert read_settings() == Settings(
        landing=str(folder / "landing"),
        training=str(folder / "landing" / "training"),
        label_pattern="",
        lake=str(folder / "lake"),
        backbone="efficientnet-lite0",
        weights="",
        features_tensor="",
        pixel_scaling="",
        precision="auto",
        start_day=date(2026, 1, 1),
        spark_master="local[*]",
        accuracy_floor=0.8,
        recall_floor=0.5,
        max_calibration_error=0.05,
        max_slowdown=1.5,
        max_growth=2.0,
        core_hour_dollars=0.05,
        limits=Limits(bytes=2**27, pixels=89_478_485, seconds=30.0, memory_bytes=2**30),
        max_rejected_share=0.05,
        audit_size=AuditSize(share=0.02, least=10, most=100),
        keep_runs_days=0,
        keep_pictures_days=0,
    )


def test_an_empty_variable_counts_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    defaults = read_settings()
    for variable in VARIABLES:
        monkeypatch.setenv(variable, "")
    assert read_settings() == defaults


def test_every_variable_is_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = (
        *("in", "labelled", "(?P<label>x)", "/out", "other.onnx", "int8", "2025-02-28", "spark://h:7077", "0.25"),
        *(
            "weights.h5",
            "pool5",
            "caffe",
            "0.04",
            "1000",
            "2000",
            "0.5",
            "3000",
            "0.1",
            "0.75",
            "0.3",
            "3",
            "4",
            "0.5",
            "0",
            "7",
            "90",
            "30",
        ),
    )
    for variable, value in zip(VARIABLES, values, strict=True):
        monkeypatch.setenv(variable, value)
    assert read_settings() == Settings(
        landing=str(folder / "in"),
        training=str(folder / "labelled"),
        label_pattern="(?P<label>x)",
        lake="/out",
        backbone=str(folder / "other.onnx"),
        weights=str(folder / "weights.h5"),
        features_tensor="pool5",
        pixel_scaling="caffe",
        precision="int8",
        start_day=date(2025, 2, 28),
        spark_master="spark://h:7077",
        accuracy_floor=0.25,
        recall_floor=0.75,
        max_calibration_error=0.3,
        max_slowdown=3.0,
        max_growth=4.0,
        core_hour_dollars=0.04,
        limits=Limits(bytes=1000, pixels=2000, seconds=0.5, memory_bytes=3000),
        max_rejected_share=0.1,
        audit_size=AuditSize(share=0.5, least=0, most=7),
        keep_runs_days=90,
        keep_pictures_days=30,
    )


def test_labelled_pictures_lie_in_the_landing_zone_unless_said_otherwise(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAYLIGHT_LANDING", "arrivals")
    assert read_settings().training == str(folder / "arrivals" / "training")
    monkeypatch.setenv("DAYLIGHT_LANDING", "s3://bucket/landing")
    assert read_settings().training == "s3://bucket/landing/training"


def test_all_words_that_decide_of_the_graph_are_its_version(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where one changes, the UI shows the backbone as out of date."""
    versions = {read_settings().backbone_version}
    for variable, value in (
        ("DAYLIGHT_BACKBONE", "resnet50"),
        ("DAYLIGHT_WEIGHTS", "weights.h5"),
        ("DAYLIGHT_PRECISION", "int8"),
        ("DAYLIGHT_FEATURES_TENSOR", "pool5"),
        ("DAYLIGHT_PIXEL_SCALING", "unit"),
    ):
        monkeypatch.setenv(variable, value)
        versions.add(read_settings().backbone_version)
    assert len(versions) == 6


def test_the_environment_is_read_when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    before = read_settings()
    monkeypatch.setenv("DAYLIGHT_BACKBONE", "another")
    assert (before.backbone, read_settings().backbone) == ("efficientnet-lite0", "another")


@pytest.mark.parametrize("uri", ["s3://bucket/landing", "gs://bucket/a%20b", "abfss://c@a.dfs.core.windows.net/x"])
def test_a_uri_stays_as_it_is(monkeypatch: pytest.MonkeyPatch, uri: str) -> None:
    monkeypatch.setenv("DAYLIGHT_LANDING", uri)
    assert read_settings().landing == uri


def test_the_home_folder_has_its_short_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAYLIGHT_LAKE", "~/lake")
    assert read_settings().lake == str((Path.home() / "lake").resolve())


def test_folders_stay_where_they_are_when_the_process_moves(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = read_settings()
    monkeypatch.chdir("/")
    assert settings.lake == str(folder / "lake")


@pytest.mark.parametrize(
    ("variable", "value", "cure"),
    [
        ("DAYLIGHT_PRECISION", "fp16", "it can be auto or fp32 or int8"),
        ("DAYLIGHT_PIXEL_SCALING", "0-1", "it can be raw or unit or symmetric or imagenet or caffe"),
        ("DAYLIGHT_CORE_HOUR_DOLLARS", "free", "write a number above 0 such as 0.05"),
        ("DAYLIGHT_CORE_HOUR_DOLLARS", "0", "write a number above 0 such as 0.05"),
        ("DAYLIGHT_CORE_HOUR_DOLLARS", "inf", "write a number above 0 such as 0.05"),
        ("DAYLIGHT_START_DAY", "yesterday", "write a day such as 2026-01-01"),
        ("DAYLIGHT_START_DAY", "2026-02-30", "write a day such as 2026-01-01"),
        ("DAYLIGHT_ACCURACY_FLOOR", "80%", "write a share between 0 and 1 such as 0.8"),
        ("DAYLIGHT_ACCURACY_FLOOR", "80", "write a share between 0 and 1 such as 0.8"),
        ("DAYLIGHT_ACCURACY_FLOOR", "-0.1", "write a share between 0 and 1 such as 0.8"),
        ("DAYLIGHT_ACCURACY_FLOOR", "nan", "write a share between 0 and 1 such as 0.8"),
        ("DAYLIGHT_MAX_BYTES", "2147483648", "write a whole number from 1 to 2147483647 such as 134217728"),
        ("DAYLIGHT_MAX_PIXELS", "1.5", "write a whole number from 1 to 2147483647 such as 89478485"),
        ("DAYLIGHT_MAX_SECONDS", "0", "write a number above 0 such as 30"),
        ("DAYLIGHT_MAX_MEMORY_BYTES", "1 GiB", "write a whole number from 1 to"),
        ("DAYLIGHT_AUDIT_SHARE", "2%", "write a share between 0 and 1 such as 0.02"),
        ("DAYLIGHT_AUDIT_LEAST", "-1", "write a whole number from 0 to 2147483647 such as 10"),
        ("DAYLIGHT_AUDIT_MOST", "many", "write a whole number from 0 to 2147483647 such as 100"),
        ("DAYLIGHT_MAX_REJECTED_SHARE", "5", "write a share between 0 and 1 such as 0.05"),
    ],
)
def test_a_bad_value_is_an_error_with_variable_value_and_cure(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, cure: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingError) as caught:
        read_settings()
    assert str(caught.value).startswith(f"{variable} is {value!r}")
    assert cure in str(caught.value)


@pytest.mark.parametrize("variable", ["DAYLIGHT_LANDING", "DAYLIGHT_TRAINING", "DAYLIGHT_LAKE"])
def test_folders_can_be_in_object_stores(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv(variable, "abfss://photos@account.dfs.core.windows.net/daylight/")
    settings = read_settings()
    assert getattr(settings, variable.removeprefix("DAYLIGHT_").lower()) == (
        "abfss://photos@account.dfs.core.windows.net/daylight"
    )


@pytest.mark.parametrize(
    "uri",
    ["s3://key:hush@bucket/lake", "s3://bucket/lake?secret_key=hush", "abfss://c:hush@a.dfs.core.windows.net/lake"],
)
def test_a_key_in_a_uri_is_refused_and_not_repeated(monkeypatch: pytest.MonkeyPatch, uri: str) -> None:
    monkeypatch.setenv("DAYLIGHT_LAKE", uri)
    with pytest.raises(SettingError, match=r"DAYLIGHT_LAKE cannot be used: .* AWS_\*") as caught:
        read_settings()
    assert "hush" not in str(caught.value)
