"""Human answers from the page and from forms, and the production accuracy."""

from dataclasses import replace

import dagster as dg
from pyspark.sql import DataFrame

from assets.declarations import declare_check, training_asset
from pipeline.daily import predictions
from pipeline.reports.report import Table, describe_whole
from pipeline.reviews import review_queue
from pipeline.reviews.answer_files import read_answers, tabulate
from pipeline.reviews.filled_forms import NO_FORMS, read_forms
from pipeline.reviews.reviews import describe_reviews, list_problems, match_answers
from pipeline.reviews.set_answers import write_sets
from pipeline.storage.columns.schema import parse_schema
from resources.lake.lake import Lake
from resources.landing import LandingZone
from resources.spark.session import POOL, SparkResource


@training_asset(kinds={"spark", "deltalake"})
def reviews(context: dg.AssetExecutionContext, landing_zone: LandingZone, lake: Lake, spark: SparkResource) -> Table:
    """Human answers, one row per image and day, and the production accuracy.

    They come from the page of `make review` and from filled forms in reviews/ in the landing zone, and are joined with
    stored predictions and review_queue. These are not declared as sources, because they depend on the training in turn.
    """
    session, folder = spark.spark_session, landing_zone.review_folder()
    queue = lake.read_known(session, "review_queue", parse_schema(review_queue.SCHEMA), None).frame
    forms = read_forms(folder) if folder else NO_FORMS
    for path in forms.ignored:
        context.log.warning(f"{path!r} in {folder} was ignored: it is not a .csv file")
    answers = forms.with_more(tabulate(read_answers(lake.home).standing()))
    if landing_zone.is_multi_label:
        answers = replace(answers, answers=write_sets(answers.answers))
    predicted = lake.read_known(session, "predictions", parse_schema(predictions.SCHEMA), answers.days).frame
    return Table(match_answers(answers.answers, predicted, queue), describe_whole(describe_reviews(queue)))


@declare_check(pool=POOL, asset="reviews")
def every_answer_is_used(reviews: DataFrame) -> dg.AssetCheckResult:
    """No answers contradict each other, and each refers to a stored prediction; only a warning."""
    problems = list_problems(reviews)
    return dg.AssetCheckResult(
        passed=not problems,
        severity=dg.AssetCheckSeverity.WARN,
        description="; ".join(problems) or "all answers are used",
    )
