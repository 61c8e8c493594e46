"""Types of settings: how a text becomes a value, and which values are refused, each in words that name the cure."""

import re
from datetime import date
from pathlib import Path
from typing import Annotated, Literal, get_args
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field, SecretStr
from pydantic.fields import FieldInfo

from pipeline.daily.due_days import parse_quiet_days
from pipeline.embed.quality import parse_flags
from pipeline.networks.pixel_scaling import parse_scaling
from pipeline.storage.object_stores import check_uri, is_uri
from resources.notify.receiver import parse_receiver


def _resolve_path(path: str) -> str:
    if not path or is_uri(path):
        return path
    try:
        return str(Path(path).expanduser().resolve())
    except (OSError, RuntimeError) as error:
        raise ValueError(f"{path!r:.60} is not a path here ({error})") from error


def _resolve_folder(folder: str) -> str:
    if not is_uri(folder):
        return _resolve_path(folder)
    check_uri(folder)
    return folder.rstrip("/")


Folder = Annotated[str, AfterValidator(_resolve_folder)]
File = Annotated[str, AfterValidator(_resolve_path)]
NameOrPath = Annotated[str, AfterValidator(lambda text: _resolve_path(text) if "/" in text or "." in text else text)]


def _check_year(day: date) -> date:
    if not 2000 <= day.year < 2100:
        raise ValueError(f"{day} is not a day of this century: write a day such as 2026-01-01")
    return day


def _check_time(text: str) -> str:
    if not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", text):
        raise ValueError(f"{text!r:.40} is no time of day: write text such as 09:00")
    return text


def _check_zone(text: str) -> str:
    try:
        return ZoneInfo(text).key
    except (KeyError, ValueError, OSError):  # unknown; not a name; the name of a folder
        raise ValueError(f"{text!r:.40} is no time zone: write text such as Europe/Berlin") from None


def _check_quiet_days(text: str) -> str:
    parse_quiet_days(text)
    return text


def _check_scaling(text: str) -> str:
    if text:
        parse_scaling(text)
    return text


def _check_receiver(secret: SecretStr) -> SecretStr:
    parse_receiver(secret.get_secret_value())
    return secret


def _check_ui_url(url: str) -> str:
    if not re.fullmatch(r"https?://[^\s/?#@]+(/[^\s?#]*)?", url):
        raise ValueError(f"{url!r:.80} is no URL: write text such as http://127.0.0.1:3000")
    return url.rstrip("/")


def _check_interval(minutes: int) -> int:
    if 1440 % minutes or (60 % minutes and minutes % 60):
        raise ValueError(
            f"{minutes} minutes divide neither an hour nor a day: write a number such as 15, 30, 60 or 120"
        )
    return minutes


ReceiverText = Annotated[SecretStr, AfterValidator(_check_receiver)]
Url = Annotated[str, AfterValidator(_check_ui_url)]
ClockTime = Annotated[str, AfterValidator(_check_time)]
TimeZone = Annotated[str, AfterValidator(_check_zone)]
QuietDaysText = Annotated[str, AfterValidator(_check_quiet_days)]
Day = Annotated[date, AfterValidator(_check_year)]
Flags = Annotated[str, AfterValidator(lambda text: ",".join(parse_flags(text)))]
Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0, le=2**31 - 1)]
Size = Annotated[int, Field(ge=1, le=2**31 - 1)]
Interval = Annotated[int, Field(ge=1, le=720), AfterValidator(_check_interval)]
Days = Annotated[int, Field(ge=0, le=36_524)]
Memory = Annotated[int, Field(ge=1, le=2**40 - 1)]
Precision = Literal["auto", "fp32", "int8"]
StoreBytes = Literal["days", "never"]
FitChoice = Literal["auto", "measured", "letterbox", "crop"]
NotifyFormat = Literal["auto", "json", "slack", "teams"]
PixelScaling = Annotated[str, AfterValidator(_check_scaling)]


def describe_bounds(field: FieldInfo) -> str:
    """Describes the values that a setting accepts, as the object of "write"; empty for any text."""
    bounds: dict[str, float] = {}
    for each in field.metadata:
        bounds |= {name: getattr(each, name) for name in ("ge", "gt", "le") if hasattr(each, name)}
    if choices := get_args(field.annotation):
        return " or ".join(filter(None, choices))
    if field.annotation is date:
        return "a day"
    if field.annotation is int:
        return f"a whole number from {bounds['ge']} to {bounds['le']}"
    if field.annotation is float:
        return "a number above 0" if "gt" in bounds else "a share between 0 and 1"
    return ""


def format_default(field: FieldInfo) -> str:
    """Writes the default of a setting as a user would."""
    if field.default_factory:
        return str(field.examples[0]) if field.examples else ""
    if isinstance(field.default, SecretStr):
        return ""
    return f"{field.default:g}" if isinstance(field.default, float) else str(field.default)
