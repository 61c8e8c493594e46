"""Settings: declared once, read from the environment or a file; a bad name or value is one sentence with the cure."""

from datetime import date
from pathlib import Path

import pytest
from pydantic import SecretStr

from assets.commands.configuration import PAGE, write_configuration
from pipeline.embed.limits import Limits
from pipeline.evaluation.gate_rules import Thresholds
from pipeline.reviews.audit import AuditSize
from resources.settings import SettingError, Settings, read_settings

VARIABLES = tuple(f"DAYLIGHT_{name.upper()}" for name in Settings.model_fields)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty environment in an empty folder."""
    for variable in [*VARIABLES, "DAGSTER_HOME"]:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path.resolve()


def test_an_empty_environment_gives_the_defaults(folder: Path) -> None:
    settings = read_settings()
    assert settings.model_dump() == {
        "landing": str(folder / "landing"),
        "training": str(folder / "landing" / "training"),
        "label_pattern": "",
        "lake": str(folder / "lake"),
        "backbone": "efficientnet-lite0",
        "weights": "",
        "features_tensor": "",
        "pixel_scaling": "",
        "fit": "auto",
        "precision": "auto",
        "start_day": date(2026, 1, 1),
        "deadline": "09:00",
        "time_zone": "UTC",
        "open_day_minutes": 60,
        "quiet_days": "",
        "notify": SecretStr(""),
        "notify_format": "auto",
        "ui_url": "http://127.0.0.1:3000",
        "review_days": 7,
        "review_url": "http://127.0.0.1:3002",
        "review_token": SecretStr(""),
        "spark_master": "local[*]",
        "accuracy_floor": 0.8,
        "recall_floor": 0.5,
        "max_calibration_error": 0.05,
        "max_slowdown": 1.5,
        "max_growth": 2.0,
        "core_hour_dollars": 0.05,
        "max_bytes": 2**27,
        "max_pixels": 89_478_485,
        "max_seconds": 30.0,
        "max_memory_bytes": 2**30,
        "commit_seconds": 60.0,
        "max_rejected_share": 0.05,
        "top_labels": 16,
        "audit_share": 0.02,
        "audit_min": 10,
        "audit_max": 100,
        "review_flags": "rare",
        "keep_runs_days": 0,
        "store_bytes": "days",
        "keep_images_days": 0,
    }
    assert settings.limits == Limits(bytes=2**27, pixels=89_478_485, seconds=30.0, memory_bytes=2**30)
    assert settings.audit_size == AuditSize(0.02, 10, 100)


def test_an_empty_variable_counts_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    defaults = read_settings()
    for variable in VARIABLES:
        monkeypatch.setenv(variable, "")
    assert read_settings() == defaults


VALUES = {
    "landing": "in",
    "training": "labelled",
    "label_pattern": "(?P<label>x)",
    "lake": "/out",
    "backbone": "other.onnx",
    "weights": "weights.h5",
    "features_tensor": "pool5",
    "pixel_scaling": "caffe",
    "fit": "crop",
    "precision": "int8",
    "start_day": "2025-02-28",
    "deadline": "17:30",
    "time_zone": "Asia/Tokyo",
    "open_day_minutes": "15",
    "quiet_days": "Sun 2026-12-25",
    "notify": "https://hooks.slack.com/services/SEKRET",
    "notify_format": "slack",
    "review_url": "http://127.0.0.1:3005/",
    "review_token": "SEKRET",
    "ui_url": "https://dagster.example.com/daylight/",
    "review_days": "3",
    "spark_master": "spark://h:7077",
    "accuracy_floor": "0.25",
    "recall_floor": "0.75",
    "max_calibration_error": "0.3",
    "max_slowdown": "3",
    "max_growth": "4",
    "core_hour_dollars": "0.04",
    "max_bytes": "1000",
    "max_pixels": "2000",
    "max_seconds": "0.5",
    "max_memory_bytes": "3000",
    "commit_seconds": "2.5",
    "max_rejected_share": "0.1",
    "top_labels": "7",
    "audit_share": "0.5",
    "audit_min": "0",
    "audit_max": "7",
    "review_flags": "dark,tiny",
    "keep_runs_days": "90",
    "store_bytes": "never",
    "keep_images_days": "30",
}


def test_every_variable_is_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in VALUES.items():
        monkeypatch.setenv(f"DAYLIGHT_{name.upper()}", value)
    assert_all_are_read(folder)


def test_every_setting_can_stand_in_the_file(folder: Path) -> None:
    (folder / "daylight.yaml").write_text("".join(f"{name}: {value}\n" for name, value in VALUES.items()))
    assert_all_are_read(folder)


def assert_all_are_read(folder: Path) -> None:
    settings = read_settings()
    assert settings.model_dump() == {
        "landing": str(folder / "in"),
        "training": str(folder / "labelled"),
        "label_pattern": "(?P<label>x)",
        "lake": "/out",
        "backbone": str(folder / "other.onnx"),
        "weights": str(folder / "weights.h5"),
        "features_tensor": "pool5",
        "pixel_scaling": "caffe",
        "fit": "crop",
        "precision": "int8",
        "start_day": date(2025, 2, 28),
        "deadline": "17:30",
        "time_zone": "Asia/Tokyo",
        "open_day_minutes": 15,
        "quiet_days": "Sun 2026-12-25",
        "notify": SecretStr("https://hooks.slack.com/services/SEKRET"),
        "notify_format": "slack",
        "review_url": "http://127.0.0.1:3005",
        "review_token": SecretStr("SEKRET"),
        "ui_url": "https://dagster.example.com/daylight",
        "review_days": 3,
        "spark_master": "spark://h:7077",
        "accuracy_floor": 0.25,
        "recall_floor": 0.75,
        "max_calibration_error": 0.3,
        "max_slowdown": 3.0,
        "max_growth": 4.0,
        "core_hour_dollars": 0.04,
        "max_bytes": 1000,
        "max_pixels": 2000,
        "max_seconds": 0.5,
        "max_memory_bytes": 3000,
        "commit_seconds": 2.5,
        "max_rejected_share": 0.1,
        "top_labels": 7,
        "audit_share": 0.5,
        "audit_min": 0,
        "audit_max": 7,
        "review_flags": "dark,tiny",
        "keep_runs_days": 90,
        "store_bytes": "never",
        "keep_images_days": 30,
    }
    assert settings.limits == Limits(bytes=1000, pixels=2000, seconds=0.5, memory_bytes=3000)
    assert settings.audit_size == AuditSize(0.5, 0, 7)
    assert settings.thresholds == Thresholds(
        accuracy=0.25, class_recall=0.75, calibration_error=0.3, slowdown=3.0, growth=4.0
    )


def test_labelled_images_lie_in_the_landing_zone_by_default(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAYLIGHT_LANDING", "arrivals")
    assert read_settings().training == str(folder / "arrivals" / "training")
    monkeypatch.setenv("DAYLIGHT_LANDING", "s3://bucket/landing")
    assert read_settings().training == "s3://bucket/landing/training"


def test_every_setting_that_determines_the_graph_changes_its_version(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When one changes, the UI shows the backbone as out of date."""
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
        ("DAYLIGHT_FIT", "stretch", "it can be auto or measured or letterbox or crop"),
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
        ("DAYLIGHT_AUDIT_MIN", "-1", "write a whole number from 0 to 2147483647 such as 10"),
        ("DAYLIGHT_AUDIT_MAX", "many", "write a whole number from 0 to 2147483647 such as 100"),
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


def test_pixels_are_scaled_by_a_name_or_any_mean_and_deviation(monkeypatch: pytest.MonkeyPatch) -> None:
    for text in ("clip", "mean 0.5 0.4 0.3 deviation 0.2 0.2 0.2"):
        monkeypatch.setenv("DAYLIGHT_PIXEL_SCALING", text)
        assert read_settings().pixel_scaling == text
    monkeypatch.setenv("DAYLIGHT_PIXEL_SCALING", "0-1")
    with pytest.raises(
        SettingError, match=r"DAYLIGHT_PIXEL_SCALING cannot be used: '0-1' is no pixel scaling: write one"
    ):
        read_settings()


def test_quality_flags_are_a_list_of_known_names(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_settings().review_flag_names == ("rare",)
    monkeypatch.setenv("DAYLIGHT_REVIEW_FLAGS", "none")
    assert read_settings().review_flag_names == ()
    monkeypatch.setenv("DAYLIGHT_REVIEW_FLAGS", "blurred, dark,")
    assert read_settings().review_flag_names == ("blurred", "dark")
    monkeypatch.setenv("DAYLIGHT_REVIEW_FLAGS", "blurred,blury")
    with pytest.raises(
        SettingError, match="DAYLIGHT_REVIEW_FLAGS cannot be used: 'blury' is not a quality flag: write"
    ):
        read_settings()


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


@pytest.mark.parametrize(
    ("variable", "cure"),
    [
        ("DAYLIGHT_AUDIT_LEAST", "is now called DAYLIGHT_AUDIT_MIN: rename it"),
        ("DAYLIGHT_AUDIT_MOST", "is now called DAYLIGHT_AUDIT_MAX: rename it"),
        ("DAYLIGHT_KEEP_PICTURES_DAYS", "is now called DAYLIGHT_KEEP_IMAGES_DAYS: rename it"),
        ("DAYLIGHT_LANDNG", "is not a setting: did you mean DAYLIGHT_LANDING?"),
        ("DAYLIGHT_COLOUR", "is not a setting: docs/configuration.md lists all settings"),
    ],
)
def test_an_unknown_variable_is_an_error_with_the_cure(
    monkeypatch: pytest.MonkeyPatch, variable: str, cure: str
) -> None:
    monkeypatch.setenv(variable, "7")
    with pytest.raises(SettingError) as caught:
        read_settings()
    assert str(caught.value) == f"{variable} {cure}"


def test_an_unknown_variable_without_a_value_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAYLIGHT_AUDIT_LEAST", "")
    assert read_settings().audit_min == 10


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("audit_share: 5", "audit_share in daylight.yaml is '5'; write a share between 0 and 1 such as 0.02"),
        ("audit_share: true", "audit_share in daylight.yaml is 'true'; write a share between 0 and 1 such as 0.02"),
        ("lake: [a, b]", "lake in daylight.yaml is ['a', 'b']; write one text such as lake"),
        ("audit_least: 3", "audit_least in daylight.yaml is now called audit_min: rename it"),
        ("landng: in", "landng in daylight.yaml is not a setting: did you mean landing?"),
        ("- lake", "is not a mapping: write one setting per line, such as lake: /data/lake"),
        ("lake: {", "is not YAML: while parsing a flow node"),
    ],
)
def test_a_fault_in_the_file_is_one_sentence_with_the_cure(folder: Path, text: str, message: str) -> None:
    (folder / "daylight.yaml").write_text(text)
    with pytest.raises(SettingError) as caught:
        read_settings()
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_environment_wins_over_the_file_and_an_empty_value_counts_as_unset(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "daylight.yaml").write_text("backbone: resnet50\naudit_min: 3\nprecision:\n")
    monkeypatch.setenv("DAYLIGHT_BACKBONE", "vgg19")
    monkeypatch.setenv("DAYLIGHT_AUDIT_MIN", "")
    settings = read_settings()
    assert (settings.backbone, settings.audit_min, settings.precision) == ("vgg19", 3, "auto")


def test_the_file_lies_beside_dagster_yaml(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = folder / "home"
    home.mkdir()
    (home / "daylight.yaml").write_text("backbone: resnet50\n")
    assert read_settings().backbone == "efficientnet-lite0"
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    assert read_settings().backbone == "resnet50"


def test_a_copy_has_the_changed_settings_and_keeps_the_others() -> None:
    defaults = read_settings()
    changed = defaults.replace(backbone="resnet50")
    assert changed.model_dump() == defaults.model_dump() | {"backbone": "resnet50"}
    assert defaults.backbone == "efficientnet-lite0"


@pytest.mark.parametrize(
    ("name", "cure"),
    [
        ("landng", "landng is not a setting: did you mean landing?"),
        ("audit_least", "audit_least is now called audit_min: rename it"),
        ("audit_size", "audit_size is not a setting: "),
    ],
)
def test_changing_an_unknown_setting_is_an_error_with_the_cure(name: str, cure: str) -> None:
    with pytest.raises(SettingError) as caught:
        read_settings().replace(**{"backbone": "resnet50", name: "x"})
    assert str(caught.value).startswith(cure)


def test_every_setting_has_a_description_of_one_line() -> None:
    for name, field in Settings.model_fields.items():
        assert field.description, name
        assert field.description.endswith("."), name
        assert "\n" not in field.description, name


def test_the_page_of_settings_is_fresh() -> None:
    assert PAGE.read_text(encoding="utf-8") == write_configuration(), "run make docs-configuration"


@pytest.mark.parametrize(
    ("variable", "value", "wanted"),
    [
        ("DAYLIGHT_LAKE", "s3://AKIAKEY:se/cretSEKRET@bucket/x", "contains a key"),
        ("DAYLIGHT_LAKE", "s3://", "has no bucket: write a URI such as s3://bucket/path"),
        ("DAYLIGHT_LANDING", "s3:///days", "has no bucket"),
        ("DAYLIGHT_LAKE", "://x", "has no bucket"),
        ("DAYLIGHT_LAKE", "s3://[", "is not a URI"),
        ("DAYLIGHT_LAKE", "~nobody-of-this-name/lake", "is not a path here"),
        ("DAYLIGHT_START_DAY", "0", "is not a day of this century"),
        ("DAYLIGHT_NOTIFY", "https://", "is not the URL of a webhook"),
        ("DAYLIGHT_NOTIFY", "ftp://SEKRET.example.com/x", "is not the URL of a webhook"),
        ("DAYLIGHT_NOTIFY", "https://example.com/SE KRETSEKRET", "is not the URL of a webhook"),
        ("DAYLIGHT_NOTIFY", "https://example.com:99999/SEKRET", "is not the URL of a webhook"),
        ("DAYLIGHT_NOTIFY", "mail 'SEKRET", "it is not a command (No closing quotation)"),
        ("DAYLIGHT_UI_URL", "dagster.example.com", "is no URL: write text such as http://127.0.0.1:3000"),
        ("DAYLIGHT_DEADLINE", "9 am", "'9 am' is no time of day: write text such as 09:00"),
        ("DAYLIGHT_DEADLINE", "24:00", "is no time of day"),
        ("DAYLIGHT_TIME_ZONE", "Mars/Olympus", "is no time zone: write text such as Europe/Berlin"),
        ("DAYLIGHT_TIME_ZONE", "Europe", "is no time zone"),
        ("DAYLIGHT_TIME_ZONE", "../../etc/passwd", "is no time zone"),
        (
            "DAYLIGHT_QUIET_DAYS",
            "Sat, Xmas",
            "'Xmas' is no weekday and no day: write text such as Sat, Sun, 2026-12-25",
        ),
        ("DAYLIGHT_MAX_BYTES", "9" * 5000, "write a whole number"),
        ("daylight_lake", "/data/lake", "daylight_lake is not a setting: did you mean DAYLIGHT_LAKE?"),
    ],
)
def test_an_odd_value_is_one_short_sentence_without_its_secret(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, wanted: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingError) as error:
        read_settings()
    assert wanted in str(error.value)
    assert "SEKRET" not in str(error.value)
    assert len(str(error.value)) < 300


def test_spaces_around_a_value_do_not_count(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAYLIGHT_LAKE", f" {folder}/lake\n")
    assert read_settings().lake == f"{folder}/lake"


def test_an_audit_minimum_above_its_maximum_names_both(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAYLIGHT_AUDIT_MIN", "50")
    monkeypatch.setenv("DAYLIGHT_AUDIT_MAX", "10")
    with pytest.raises(SettingError, match="AUDIT_MIN is 50, above DAYLIGHT_AUDIT_MAX, which is 10"):
        read_settings()


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("lake: a\nlake: b\n", "sets lake twice"),
        ('lake: "SEKRET\nlanding: x\n', "in line"),
        ("DAYLIGHT_AUDIT_LEAST: 4\n", "is now called audit_min"),
    ],
)
def test_an_odd_file_is_one_sentence_without_its_secret(folder: Path, text: str, wanted: str) -> None:
    (folder / "daylight.yaml").write_text(text)
    with pytest.raises(SettingError) as error:
        read_settings()
    assert wanted in str(error.value)
    assert "SEKRET" not in str(error.value)


@pytest.mark.parametrize("value", ["~", "null", ""])
def test_no_value_in_the_file_means_the_default(folder: Path, value: str) -> None:
    (folder / "daylight.yaml").write_text(f"lake: {value}\n")
    assert read_settings().lake == str(folder / "lake")


def test_a_folder_in_the_place_of_the_file_is_an_error(folder: Path) -> None:
    (folder / "daylight.yaml").mkdir()
    with pytest.raises(SettingError, match="cannot be read: Is a directory"):
        read_settings()


def test_a_link_to_no_file_is_an_error(folder: Path) -> None:
    (folder / "daylight.yaml").symlink_to(folder / "missing")
    with pytest.raises(SettingError, match="cannot be read: No such file"):
        read_settings()


def test_the_receiver_of_messages_is_a_secret(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAYLIGHT_NOTIFY", "https://hooks.slack.com/services/SEKRET")
    settings = read_settings()
    assert settings.receiver is not None
    assert settings.receiver.shape == "slack"
    for text in (repr(settings), str(settings), settings.model_dump_json(), repr(settings.receiver)):
        assert "SEKRET" not in text
    monkeypatch.delenv("DAYLIGHT_NOTIFY")
    (folder / "daylight.yaml").write_text("notify: [https://hooks.slack.com/services/SEKRET]\n")
    with pytest.raises(SettingError) as error:
        read_settings()
    assert str(error.value) == "notify in daylight.yaml cannot be used: write one text"
