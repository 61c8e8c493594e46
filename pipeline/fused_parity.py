"""Parity of the fused graph: whether it answers as its classifier does, on every picture of the holdout."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from math import nan
from typing import Final

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipeline.backbone import Backbone, open_session
from pipeline.classifier import Classifier, predict
from pipeline.feature_cache import find_pictures
from pipeline.features import COLUMNS, embed_stored
from pipeline.head_graph import LABEL
from pipeline.labels import HOLDOUT
from pipeline.letterbox import letterbox
from pipeline.limits import DEFAULT_LIMITS, Limits
from pipeline.preprocess import load
from pipeline.report import only_row
from pipeline.sandbox import keep_harmless
from pipeline.stored import StoredRows

MAX_DIFFERENCE: Final = 1e-5
"""Of a probability: what float32 and the order of additions may change."""

MAX_EXAMPLES: Final = 64
"""Pictures, one of a label, whose own `label` is looked at by the driver."""


@dataclass(frozen=True)
class FusedParity:
    """How a fused graph answers beside its classifier.

    Attributes:
        compared_count: pictures of the holdout that have features.
        missing_count: of them, those that the graph gave no probabilities, or not one for every label.
        max_difference: of a probability; NaN where one is.
        other_count: pictures whose label is not the most probable one of the graph.
        example_count: pictures whose own `label` was looked at, one of every label that was answered.
        other_examples: of them, the labels of the classifier that the graph did not give.
    """

    compared_count: int
    missing_count: int
    max_difference: float
    other_count: int
    example_count: int
    other_examples: Sequence[str]

    @property
    def holds(self) -> bool:
        """Whether it answers as the classifier does."""
        differs = self.missing_count or self.other_count or self.other_examples
        return self.example_count > 0 and not differs and self.max_difference <= MAX_DIFFERENCE

    @property
    def told(self) -> str:
        """The comparison as a sentence."""
        return (
            f"{self.compared_count} holdout pictures: probabilities differ by {self.max_difference:.1e} at most"
            f" ({MAX_DIFFERENCE:.0e} allowed), {self.other_count} have another label, {self.missing_count} no answer;"
            f" of {self.example_count} examples {len(self.other_examples)} are named otherwise"
        )


def measure_fused_parity(
    graph: Backbone,
    classifier: Classifier,
    images: StoredRows,
    features: DataFrame,
    limits: Limits = DEFAULT_LIMITS,
) -> FusedParity:
    """Runs a fused graph over the whole holdout in Spark, from the bytes of its pictures, beside the classifier.

    Costs: every picture of the holdout is decoded and embedded once more. The driver holds ids, some 100 bytes for each
    picture, and the bytes of `MAX_EXAMPLES` pictures.

    Args:
        graph: the fused file, opened as a backbone is.
        classifier: the one it was made of.
        images: the labelled pictures, with `image_id`, `length` and `content`.
        features: of the same pictures, with `image_id`, `split`, `features` and `backbone`.
        limits: of a picture.
    """
    holdout = features.where((F.col("split") == HOLDOUT) & F.col("features").isNotNull())
    ids = holdout.select("image_id").toArrow()["image_id"].to_pylist()
    answers = predict(holdout, classifier)
    scored = embed_stored(images, find_pictures(images, ids), graph, COLUMNS, limits).frame
    labels = F.array(*map(F.lit, classifier.labels))
    shares, largest = F.col("shares"), F.array_max("shares")
    expected = F.transform(labels, lambda label: F.element_at("probabilities", label))
    position = F.array_position(labels, F.col("predicted_label")).cast("int")
    is_whole = F.size("shares") == len(classifier.labels)
    differences = F.zip_with(expected, shares, lambda one, other: F.abs(one - other))
    joined = answers.join(scored.select("image_id", F.col("features").alias("shares")), "image_id", "left")
    found = only_row(
        joined.select(
            F.count("*").alias("compared_count"),
            F.count_if(~F.coalesce(is_whole, F.lit(False))).alias("missing_count"),
            F.max(F.when(is_whole, F.array_max(differences))).alias("max_difference"),
            F.count_if(is_whole & (F.get("shares", position - 1) < largest)).alias("other_count"),
        )
    )
    examples = _pick_examples(answers, images)
    given = name_pictures(graph, list(examples.values()), limits)
    others = [label for label, content in examples.items() if given.get(sha256(content).hexdigest()) != label]
    told = found.asDict() | {"max_difference": nan if found["max_difference"] is None else found["max_difference"]}
    return FusedParity(**told, example_count=len(examples), other_examples=others)


def name_pictures(graph: Backbone, contents: Sequence[bytes], limits: Limits = DEFAULT_LIMITS) -> dict[str, str]:
    """The graph's own `label` of pictures by `image_id`, of those that can be decoded; computed by this process."""
    session = open_session(graph.path)
    name, given = session.get_inputs()[0].name, {}
    for content in keep_harmless(contents, graph, limits):
        pixels = letterbox(load(content, graph.size, limits.pixels).image, graph.size)
        (label,) = session.run([LABEL], {name: pixels[None]})
        given[sha256(content).hexdigest()] = str(label[0])
    return given


def _pick_examples(answers: DataFrame, images: StoredRows) -> dict[str, bytes]:
    """The bytes of a picture of every label that was answered, by that label."""
    chosen = answers.groupBy("predicted_label").agg(F.min("image_id").alias("image_id")).orderBy("predicted_label")
    labels = {row["image_id"]: row["predicted_label"] for row in chosen.limit(MAX_EXAMPLES).collect()}
    pictures = images.frame.where(F.col("image_id").isin(list(labels))).dropDuplicates(["image_id"])
    return {labels[row["image_id"]]: bytes(row["content"]) for row in pictures.select("image_id", "content").collect()}
