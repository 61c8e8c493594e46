"""What people answered, and how often the classifier was right in production."""

import dagster as dg
from pyspark.sql import DataFrame

from pipeline.daily import predictions
from pipeline.reports.report import Table, describe_whole
from pipeline.reviews import review_queue
from pipeline.reviews.filled_forms import NO_FORMS, read_forms
from pipeline.reviews.reviews import describe_reviews, match_answers, tell_problems
from pipeline.storage.schema import parse_schema
from resources.lake.lake import Lake
from resources.landing import LandingZone
from resources.spark.session import POOL, SparkResource


@dg.asset(pool=POOL, group_name="training", kinds={"spark", "deltalake"}, owners=["team:vision"])
def reviews(context: dg.AssetExecutionContext, landing_zone: LandingZone, lake: Lake, spark: SparkResource) -> Table:
    """Answers of people to the review forms, one row per picture and day, and the accuracy in production.

    The forms lie in reviews/ of the landing zone. What they are about is looked up in predictions and review_queue as
    they are stored: the days come from the training, so that they cannot be declared as its sources.
    """
    session, folder = spark.spark_session, landing_zone.review_folder()
    queue = lake.read_known(session, "review_queue", parse_schema(review_queue.SCHEMA), None).frame
    forms = read_forms(folder) if folder else NO_FORMS
    for path in forms.ignored:
        context.log.warning(f"{path!r} in {folder} was not read, since it is no .csv file")
    answered = lake.read_known(session, "predictions", parse_schema(predictions.SCHEMA), forms.days).frame
    return Table(match_answers(forms.answers, answered, queue), describe_whole(describe_reviews(queue)))


@dg.asset_check(pool=POOL, asset="reviews")
def every_answer_is_used(reviews: DataFrame) -> dg.AssetCheckResult:
    """No answer contradicts another one, and each is about a picture that the lake knows; only a warning."""
    problems = tell_problems(reviews)
    return dg.AssetCheckResult(
        passed=not problems, severity=dg.AssetCheckSeverity.WARN, description="; ".join(problems) or "all are used"
    )
