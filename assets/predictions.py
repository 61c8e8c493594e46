"""Every day's answers, and the pictures among them that a person should look at."""

from pyspark.sql import DataFrame

from assets.partitions import daily_asset
from pipeline.classifier import Classifier
from pipeline.predictions import describe_predictions, predict_images
from pipeline.report import Table


@daily_asset(kinds={"spark", "deltalake"})
def predictions(images: DataFrame, image_features: DataFrame, classifier: Classifier) -> Table:
    """Answers of the day, one row per file: label, confidence, decision, and which models said so.

    Files that cannot be decoded are rows too, rejected with their reason.
    """
    return Table(predict_images(images, image_features, classifier), describe_predictions(images))
