"""Settings of a deployment: the one place that reads the environment, when asked and not at import."""

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final

from pipeline.embed.limits import DEFAULT_LIMITS, Limits
from pipeline.networks.pixel_scaling import SCALINGS
from pipeline.reviews.audit import AuditSize
from pipeline.storage.object_stores import StoreError, check_uri, is_uri

MOST_DAYS: Final = 36_525
"""A century: what is longer lies before the calendar of dates."""


class SettingError(ValueError):
    """A setting that cannot be used; the text names the variable and the cure."""


@dataclass(frozen=True)
class Settings:
    """What the environment says; every field has a default that works on a laptop."""

    landing: str
    training: str
    label_pattern: str
    lake: str
    backbone: str
    weights: str
    features_tensor: str
    pixel_scaling: str
    precision: str
    start_day: date
    spark_master: str
    accuracy_floor: float
    recall_floor: float
    max_calibration_error: float
    max_slowdown: float
    max_growth: float
    core_hour_dollars: float
    limits: Limits
    max_rejected_share: float
    audit_size: AuditSize
    keep_runs_days: int
    keep_pictures_days: int

    @property
    def backbone_version(self) -> str:
        """All words that decide which graph is made: where one of them changes, the UI shows the backbone unsynced."""
        words = (self.backbone, self.precision, self.weights, self.features_tensor, self.pixel_scaling)
        return " ".join(word for word in words if word)


def read_settings() -> Settings:
    """Reads the `DAYLIGHT_` variables; an empty one counts as none.

    Raises:
        SettingError: where one of them cannot be used.
    """
    landing = _text("DAYLIGHT_LANDING", "landing")
    return Settings(
        landing=_folder("DAYLIGHT_LANDING", "landing"),
        training=_folder("DAYLIGHT_TRAINING", f"{landing}/training"),
        label_pattern=_text("DAYLIGHT_LABEL_PATTERN", ""),
        lake=_folder("DAYLIGHT_LAKE", "lake"),
        backbone=_name_or_path("DAYLIGHT_BACKBONE", "efficientnet-lite0"),
        weights=_path_or_none("DAYLIGHT_WEIGHTS"),
        features_tensor=_text("DAYLIGHT_FEATURES_TENSOR", ""),
        pixel_scaling=_one_of("DAYLIGHT_PIXEL_SCALING", "", ("", *SCALINGS)),
        precision=_one_of("DAYLIGHT_PRECISION", "auto", ("auto", "fp32", "int8")),
        start_day=_day("DAYLIGHT_START_DAY", "2026-01-01"),
        spark_master=_text("DAYLIGHT_SPARK_MASTER", "local[*]"),
        accuracy_floor=_share("DAYLIGHT_ACCURACY_FLOOR", "0.8"),
        recall_floor=_share("DAYLIGHT_RECALL_FLOOR", "0.5"),
        max_calibration_error=_share("DAYLIGHT_MAX_CALIBRATION_ERROR", "0.05"),
        max_slowdown=_number("DAYLIGHT_MAX_SLOWDOWN", "1.5", _is_positive, "a number above 0"),
        max_growth=_number("DAYLIGHT_MAX_GROWTH", "2", _is_positive, "a number above 0"),
        core_hour_dollars=_number("DAYLIGHT_CORE_HOUR_DOLLARS", "0.05", _is_positive, "a number above 0"),
        limits=Limits(
            bytes=_count("DAYLIGHT_MAX_BYTES", DEFAULT_LIMITS.bytes),
            pixels=_count("DAYLIGHT_MAX_PIXELS", DEFAULT_LIMITS.pixels),
            seconds=_number("DAYLIGHT_MAX_SECONDS", f"{DEFAULT_LIMITS.seconds:g}", _is_positive, "a number above 0"),
            memory_bytes=_count("DAYLIGHT_MAX_MEMORY_BYTES", DEFAULT_LIMITS.memory_bytes, 2**40),
        ),
        max_rejected_share=_share("DAYLIGHT_MAX_REJECTED_SHARE", "0.05"),
        audit_size=AuditSize(
            share=_share("DAYLIGHT_AUDIT_SHARE", f"{AuditSize.share:g}"),
            least=_count("DAYLIGHT_AUDIT_LEAST", AuditSize.least, least=0),
            most=_count("DAYLIGHT_AUDIT_MOST", AuditSize.most, least=0),
        ),
        keep_runs_days=_count("DAYLIGHT_KEEP_RUNS_DAYS", 0, MOST_DAYS, least=0),
        keep_pictures_days=_count("DAYLIGHT_KEEP_PICTURES_DAYS", 0, MOST_DAYS, least=0),
    )


def _text(variable: str, default: str) -> str:
    return os.environ.get(variable) or default


def _name_or_path(variable: str, default: str) -> str:
    """A word as it is; what has a slash or a dot is a path."""
    value = _text(variable, default)
    return _absolute(value) if "/" in value or "." in value else value


def _path_or_none(variable: str) -> str:
    value = _text(variable, "")
    return _absolute(value) if value else ""


def _folder(variable: str, default: str) -> str:
    """A folder, or a URI without a slash at its end."""
    value = _text(variable, default)
    if not is_uri(value):
        return _absolute(value)
    try:
        check_uri(value)
    except StoreError as error:
        raise SettingError(f"{variable} cannot be used: {error}") from error
    return value.rstrip("/")


def _absolute(folder: str) -> str:
    return folder if is_uri(folder) else str(Path(folder).expanduser().resolve())


def _one_of(variable: str, default: str, choices: tuple[str, ...]) -> str:
    value = _text(variable, default)
    if value not in choices:
        raise SettingError(f"{variable} is {value!r}; it can be {' or '.join(filter(None, choices))}")
    return value


def _day(variable: str, default: str) -> date:
    value = _text(variable, default)
    try:
        return date.fromisoformat(value)
    except ValueError as error:
        raise SettingError(f"{variable} is {value!r}; write a day such as {default}") from error


def _number(variable: str, default: str, is_allowed: Callable[[float], bool], wish: str) -> float:
    value = _text(variable, default)
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not is_allowed(number):
        raise SettingError(f"{variable} is {value!r}; write {wish} such as {default}")
    return number


def _share(variable: str, default: str) -> float:
    return _number(variable, default, lambda number: 0 <= number <= 1, "a share between 0 and 1")


def _count(variable: str, default: int, limit: int = 2**31, least: int = 1) -> int:
    wish = f"a whole number from {least} to {limit - 1}"
    return int(_number(variable, str(default), lambda number: number.is_integer() and least <= number < limit, wish))


def _is_positive(number: float) -> bool:
    return 0 < number < math.inf
