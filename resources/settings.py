"""Settings of a deployment, each declared once: type, default, bounds and description.

They come from `DAYLIGHT_` variables or from `daylight.yaml` beside `dagster.yaml`; the environment wins. Both are read
by `read_settings`, never at import. Options of one launch do not belong here: those are the `dg.Config` of an asset.
"""

import os
from datetime import date, time
from typing import Any
from zoneinfo import ZoneInfo

from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from pipeline.daily.due_days import DueDays, parse_quiet_days
from pipeline.embed.limits import DEFAULT_LIMITS, Limits
from pipeline.embed.quality import FLAGS, RARE, parse_flags
from pipeline.evaluation.gate_rules import Thresholds
from pipeline.evaluation.ranked import TOP_LABELS
from pipeline.networks.pixel_scaling import SCALINGS
from pipeline.reviews.audit import AuditSize
from resources.notify.receiver import Receiver, parse_receiver
from resources.setting_errors import PREFIX, explain, explain_unknown, variable_of
from resources.setting_types import (
    ClockTime,
    Count,
    Day,
    Days,
    File,
    FitChoice,
    Flags,
    Folder,
    Interval,
    Memory,
    NameOrPath,
    NotifyFormat,
    PixelScaling,
    Positive,
    Precision,
    QuietDaysText,
    ReceiverText,
    Share,
    Size,
    StoreBytes,
    TimeZone,
    Url,
)
from resources.settings_file import SettingError, read_file


def _setting(default: Any, description: str) -> Any:
    return Field(default, description=description)


class Settings(BaseSettings):
    """All settings of a deployment. Every default works on a laptop."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_ignore_empty=True,
        extra="forbid",
        str_strip_whitespace=True,
        frozen=True,
        validate_default=True,
    )

    landing: Folder = _setting("landing", "Landing zone: folder or URI with `days/<YYYY-MM-DD>/`.")
    training: Folder = Field(
        default_factory=lambda settings: f"{settings['landing']}/training",
        examples=["<landing>/training"],
        description="Folder or URI of the labelled images.",
    )
    label_pattern: str = _setting("", "Regular expression with a group `label`, for the paths of labelled images.")
    lake: Folder = _setting("lake", "Folder or URI of the tables and models.")
    backbone: NameOrPath = _setting("efficientnet-lite0", "Name in the catalogue, or path of your own network.")
    weights: File = _setting("", "File of weights, or folder with one file per backbone.")
    features_tensor: str = _setting(
        "",
        "Tensor, layer or reading (such as `last_hidden_state:cls`) with the features of your own network; empty:"
        " found, and if there are several, the most accurate one on the labelled images.",
    )
    pixel_scaling: PixelScaling = _setting(
        "",
        f"Pixel scaling of your own network: {', '.join(SCALINGS)}, or text such as"
        " `mean 0.5 0.5 0.5 deviation 0.25 0.25 0.25`; empty: detected.",
    )
    fit: FitChoice = _setting(
        "auto",
        "How images are fitted to the square; `measured`: as is more accurate on the labelled images; `auto`: measured"
        " for your own network, letterbox for one of the catalogue.",
    )
    precision: Precision = _setting("auto", "Precision of the backbone; `auto`: measured once on the labelled images.")
    start_day: Day = _setting(date(2026, 1, 1), "First day of the daily partitions.")
    deadline: ClockTime = _setting("09:00", "Time of day at which the predictions of the day before are due.")
    time_zone: TimeZone = _setting("UTC", "Time zone of the days, of the deadline and of the schedule `every_morning`.")
    open_day_minutes: Interval = _setting(60, "Minutes between the runs of `through_the_day` for the day that goes on.")
    quiet_days: QuietDaysText = _setting("", "Weekdays and days without images, such as `Sat, Sun, 2026-12-25`.")
    notify: ReceiverText = _setting(
        SecretStr(""), "Webhook URL or command that gets a message when something is wrong."
    )
    notify_format: NotifyFormat = _setting("auto", "Shape of the messages for a webhook; `auto`: by its host.")
    ui_url: Url = _setting("http://127.0.0.1:3000", "Address of Dagster's UI, for the links in messages.")
    review_days: Days = _setting(7, "Days until an alert that a review queue has no answer; 0: never.")
    review_url: Url = _setting("http://127.0.0.1:3002", "Address of the page of `make review`, for the links to it.")
    review_token: SecretStr = _setting(
        SecretStr(""), "Token of the page of `make review`; empty: a new one at each start."
    )
    spark_master: str = _setting("local[*]", "Spark master: `local[*]`, `spark://host:7077`, or `sc://host` (Connect).")
    accuracy_floor: Share = _setting(0.8, "Minimum accuracy of a candidate on the holdout.")
    recall_floor: Share = _setting(0.5, "Minimum recall of every class on the holdout.")
    max_calibration_error: Share = _setting(0.05, "Maximum expected calibration error of a candidate.")
    max_slowdown: Positive = _setting(1.5, "Maximum CPU time per image, as a multiple of the classifier in use.")
    max_growth: Positive = _setting(2.0, "Maximum size of the backbone, as a multiple of the classifier in use.")
    core_hour_dollars: Positive = _setting(0.05, "Price of one core for one hour, in dollars.")
    max_bytes: Size = _setting(DEFAULT_LIMITS.bytes, "Maximum file size, in bytes.")
    max_pixels: Size = _setting(DEFAULT_LIMITS.pixels, "Maximum number of pixels of an image.")
    max_seconds: Positive = _setting(DEFAULT_LIMITS.seconds, "Maximum time to decode and embed an image, in seconds.")
    max_memory_bytes: Memory = _setting(DEFAULT_LIMITS.memory_bytes, "Memory limit of the embedding process, in bytes.")
    commit_seconds: Positive = _setting(
        60.0, "Interval in which finished embeddings are stored while a run goes on, in seconds."
    )
    max_rejected_share: Share = _setting(0.05, "Maximum share of rejected files of a day.")
    review_flags: Flags = _setting(
        RARE, f"Quality flags not to answer, of {', '.join(FLAGS)}; or {RARE} (in under 2 % of training images), none."
    )
    top_labels: Size = _setting(
        TOP_LABELS, "Labels in `predictions.probabilities`, the most probable ones; `*` has the sum of the others."
    )
    audit_share: Share = _setting(AuditSize.share, "Share of a day's predicted images drawn at random for review.")
    audit_min: Count = _setting(AuditSize.min_count, "Minimum number of images drawn a day.")
    audit_max: Count = _setting(AuditSize.max_count, "Maximum number of images drawn a day.")
    keep_runs_days: Days = _setting(0, "Days until `housekeeping` deletes runs that no page needs; 0: never.")
    store_bytes: StoreBytes = _setting(
        "days",
        "Image bytes that the lake stores: those of all `days`, or `never` any; then files are read again.",
    )
    keep_images_days: Days = _setting(0, "Days until `housekeeping` purges image bytes from `images`; 0: never.")

    @model_validator(mode="after")
    def _order_audit(self) -> "Settings":
        if self.audit_min > self.audit_max:
            raise ValueError(
                f"DAYLIGHT_AUDIT_MIN is {self.audit_min}, above DAYLIGHT_AUDIT_MAX, which is {self.audit_max}: lower it"
            )
        return self

    @property
    def limits(self) -> Limits:
        """Limits of one file."""
        return Limits(self.max_bytes, self.max_pixels, self.max_seconds, self.max_memory_bytes)

    @property
    def thresholds(self) -> Thresholds:
        """Thresholds of the gate."""
        return Thresholds(
            accuracy=self.accuracy_floor,
            class_recall=self.recall_floor,
            calibration_error=self.max_calibration_error,
            slowdown=self.max_slowdown,
            growth=self.max_growth,
        )

    @property
    def review_flag_names(self) -> tuple[str, ...]:
        """Quality flags whose images are not answered."""
        return parse_flags(self.review_flags)

    @property
    def audit_size(self) -> AuditSize:
        """Size of the daily audit."""
        return AuditSize(self.audit_share, self.audit_min, self.audit_max)

    @property
    def due_days(self) -> DueDays:
        """When each day is due."""
        deadline, zone = time.fromisoformat(self.deadline), ZoneInfo(self.time_zone)
        return DueDays(self.start_day, deadline, zone, parse_quiet_days(self.quiet_days))

    @property
    def receiver(self) -> Receiver | None:
        """Who gets the messages; None if nobody does."""
        text = self.notify.get_secret_value()
        return parse_receiver(text, self.notify_format) if text else None

    @property
    def backbone_version(self) -> str:
        """Code version of the asset `backbone`: every setting that determines its graph."""
        parts = (self.backbone, self.precision, self.weights, self.features_tensor, self.pixel_scaling)
        fit = "" if self.fit == "auto" else self.fit
        return " ".join(part for part in (*parts, fit) if part)

    def replace(self, **changes: object) -> "Settings":
        """Returns a copy with these fields changed; their values are not validated.

        Raises:
            SettingError: if a name is unknown.
        """
        if unknown := sorted(changes.keys() - Settings.model_fields.keys()):
            raise SettingError(explain_unknown(unknown[0], unknown[0], str, Settings.model_fields))
        return self.model_copy(update=changes)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Reads arguments, then the environment, then `daylight.yaml`; the first one wins."""
        return init_settings, env_settings, InitSettingsSource(settings_cls, read_file())


def read_settings() -> Settings:
    """Reads the environment and `daylight.yaml`; an empty value counts as unset.

    Raises:
        SettingError: if a name is unknown or a value cannot be used.
    """
    for variable, value in sorted(os.environ.items()):
        name = variable.upper().removeprefix(PREFIX).lower()
        is_ours, is_known = variable.upper().startswith(PREFIX), name in Settings.model_fields
        if is_ours and value and not (is_known and variable.isupper()):
            raise SettingError(explain_unknown(variable, name, variable_of, Settings.model_fields))
    try:
        return Settings()
    except ValidationError as error:
        raise SettingError(
            explain(error.errors()[0], Settings.model_fields)
        ) from None  # pydantic's own text repeats the value
