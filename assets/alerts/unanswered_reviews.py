"""The sensor `unanswered_reviews`: finds review queues without any answer for days."""

from datetime import UTC, datetime, timedelta
from typing import Final

import dagster as dg

from pipeline.reviews.answer_files import read_answers, tabulate
from pipeline.reviews.filled_forms import NO_FORMS, read_forms
from resources.instance.alerts import Alerts, default_status
from resources.lake.lake import Lake
from resources.landing import open_landing_zone
from resources.notify.message import Kind
from resources.question import Question

LOOK_BACK: Final = timedelta(days=7)  # after a queue became overdue
RECORDS: Final = 1000


def make_unanswered_reviews(question: Question) -> dg.SensorDefinition:
    """Makes the sensor, which is on where DAYLIGHT_NOTIFY is set."""

    @dg.sensor(
        name=question.word("unanswered_reviews"),
        minimum_interval_seconds=3600,
        default_status=default_status(question.settings),
    )
    def unanswered_reviews(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        """Writes a message about each day whose review form is DAYLIGHT_REVIEW_DAYS old and has no answer."""
        return report_unanswered_reviews(context, question)

    return unanswered_reviews


def report_unanswered_reviews(context: dg.SensorEvaluationContext, question: Question) -> dg.SkipReason:
    """Writes a message about each overdue day of a question without an answer."""
    settings, landing_zone = question.settings, open_landing_zone(question)
    if not settings.review_days:
        return dg.SkipReason("DAYLIGHT_REVIEW_DAYS is 0")
    form_key = question.key("review_form")
    now, patience = datetime.now(UTC), timedelta(days=settings.review_days)
    made = list_forms(context.instance, now - patience - LOOK_BACK, form_key)
    overdue = {day: form for day, form in made.items() if form[0] <= now - patience}
    folder = landing_zone.review_folder() if overdue else None
    forms = read_forms(folder) if folder else NO_FORMS
    home = Lake(root=settings.lake, prefix=question.name).home
    answered = set(forms.with_more(tabulate(read_answers(home).standing())).days) if overdue else set()
    unanswered = {day: form for day, form in overdue.items() if day not in answered}
    for day, (moment, count) in unanswered.items():
        Alerts(context.instance, settings).post(
            Kind.UNANSWERED_REVIEWS,
            (*form_key.path[:-1], day),
            title=f"The review queue of {day} is unanswered{f' ({question.name})' if question.name else ''}",
            what=f"{count} images have waited for a label since {moment:%Y-%m-%d}",
            when=now,
            day=day,
            cure=f"Run make review, or put a filled form into {landing_zone.reviews} (docs/reviews.md)",
            page=f"assets/{form_key.to_user_string()}?view=partitions&partition={day}",
        )
    return dg.SkipReason(f"{len(unanswered)} queues are unanswered after {settings.review_days} days")


def list_forms(instance: dg.DagsterInstance, since: datetime, form: dg.AssetKey) -> dict[str, tuple[datetime, int]]:
    """Lists the days whose forms were made since then, with the time of the newest form and its number of images."""
    forms: dict[str, tuple[datetime, int]] = {}
    wanted, cursor, has_more = dg.AssetRecordsFilter(form, after_timestamp=since.timestamp()), None, True
    while has_more:
        found = instance.fetch_materializations(wanted, limit=RECORDS, cursor=cursor)  # newest first
        cursor, has_more = found.cursor, found.has_more
        for record in found.records:
            event = record.asset_materialization
            if event and event.partition:
                count = event.metadata.get("dagster/partition_row_count", dg.IntMetadataValue(0)).value
                made = datetime.fromtimestamp(record.timestamp, UTC)
                forms.setdefault(event.partition, (made, count if isinstance(count, int) else 0))
    return {day: form for day, form in forms.items() if form[1]}
