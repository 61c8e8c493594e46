"""Parity of the fused graph: whether it answers as its classifier does, on every picture of the holdout."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from math import nan
from typing import Final

from pyspark.sql import DataFrame, Row
from pyspark.sql import functions as F

from pipeline.embed.backbone import Backbone, open_session
from pipeline.embed.decode import load
from pipeline.embed.letterbox import letterbox
from pipeline.embed.limits import DEFAULT_LIMITS, Limits
from pipeline.embed.sandbox import keep_harmless
from pipeline.images.feature_cache import find_images
from pipeline.images.features import COLUMNS, embed_stored
from pipeline.images.split import HOLDOUT
from pipeline.storage.counting import only_row
from pipeline.storage.stored_rows import StoredRows
from pipeline.training.classifier import Classifier, predict
from pipeline.training.head_graph import LABEL

MAX_DIFFERENCE: Final = 1e-5
"""Of a probability: what float32 and the order of additions may change."""

MAX_EXAMPLES: Final = 64
"""Pictures, one of a label, whose own `label` is looked at by the driver."""


@dataclass(frozen=True)
class GraphParity:
    """How a fused graph answers beside its classifier.

    Attributes:
        source: of the features that the classifier answered.
        compared_count: pictures of the holdout that have features.
        missing_count: of them, those that the graph gave no probabilities, or not one for every label.
        max_difference: of a probability; NaN where one is.
        other_count: pictures whose label is not the most probable one of the graph.
        example_count: pictures whose own `label` was looked at, one of every label that was answered.
        other_examples: of them, the labels of the classifier that the graph did not give.
    """

    source: str
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
            f"{self.compared_count} holdout pictures, against {self.source}: probabilities differ by"
            f" {self.max_difference:.1e} at most ({MAX_DIFFERENCE:.0e} allowed), {self.other_count} have another label,"
            f" {self.missing_count} no answer; of {self.example_count} examples {len(self.other_examples)} are named"
            " otherwise"
        )


def measure_graph_parity(
    graph: Backbone,
    classifier: Classifier,
    backbone: Backbone,
    images: StoredRows,
    features: DataFrame,
    limits: Limits = DEFAULT_LIMITS,
) -> GraphParity:
    """Runs a fused graph over the whole holdout in Spark, from the bytes of its pictures, beside the classifier.

    Stored features may come from another processor, which rounds otherwise: where they give other answers, features are
    made anew, and these decide.

    Costs: every picture of the holdout is decoded and embedded once more, or three times where stored features give
    other answers. The driver holds ids, some 200 bytes for each picture, and the bytes of `MAX_EXAMPLES` pictures.

    Args:
        graph: the fused file, opened as a backbone is.
        classifier: the one it was made of.
        backbone: the one it was made of.
        images: the labelled pictures, with `image_id`, `length` and `content`.
        features: of the same pictures, with `image_id`, `split`, `features` and `backbone`.
        limits: of a picture.
    """
    holdout = features.where((F.col("split") == HOLDOUT) & F.col("features").isNotNull())
    ids = holdout.select("image_id").toArrow()["image_id"].to_pylist()
    places = find_images(images, ids)
    shares = embed_stored(images, places, graph, COLUMNS, limits).frame.select(
        "image_id", F.col("features").alias("shares")
    )

    def compare(source: str, embedded: DataFrame) -> GraphParity:
        answers = predict(embedded, classifier)
        found = _compare_shares(answers.join(shares, "image_id", "left"), classifier.labels)
        examples = _pick_examples(answers, images)
        given = name_pictures(graph, list(examples.values()), limits)
        others = [label for label, content in examples.items() if given.get(sha256(content).hexdigest()) != label]
        return GraphParity(
            source=source,
            compared_count=len(ids),
            missing_count=len(ids) - found["whole_count"],
            max_difference=nan if found["max_difference"] is None else found["max_difference"],
            other_count=found["other_count"],
            example_count=len(examples),
            other_examples=others,
        )

    parity = compare("stored features", holdout)
    if parity.holds:
        return parity
    return compare("features made anew", embed_stored(images, places, backbone, COLUMNS, limits).frame)


def _compare_shares(joined: DataFrame, labels: Sequence[str]) -> Row:
    """Compares the `shares` of a graph with the `probabilities` and the `predicted_label` of the classifier."""
    names, shares = F.array(*map(F.lit, labels)), F.col("shares")
    expected = F.transform(names, lambda name: F.element_at("probabilities", name))
    differences = F.zip_with(expected, shares, lambda one, other: F.abs(one - other))
    is_whole = F.coalesce(F.size(shares) == len(labels), F.lit(False))
    own_share = F.get(shares, F.array_position(names, F.col("predicted_label")).cast("int") - 1)
    return only_row(
        joined.select(
            F.count_if(is_whole).alias("whole_count"),
            F.max(F.when(is_whole, F.array_max(differences))).alias("max_difference"),
            F.count_if(is_whole & (own_share < F.array_max(shares))).alias("other_count"),
        )
    )


def name_pictures(graph: Backbone, contents: Sequence[bytes], limits: Limits = DEFAULT_LIMITS) -> dict[str, str]:
    """The graph's own `label` of pictures by `image_id`, of those that can be decoded; computed by this process."""
    session = open_session(graph.path)
    name, given = session.get_inputs()[0].name, {}
    for content in keep_harmless(contents, graph, limits):
        pixels = letterbox(load(content, graph.size, limits.pixels).pixels, graph.size)
        (label,) = session.run([LABEL], {name: pixels[None]})
        given[sha256(content).hexdigest()] = str(label[0])
    return given


def _pick_examples(answers: DataFrame, images: StoredRows) -> dict[str, bytes]:
    """The bytes of a picture of every label that was answered, by that label."""
    chosen = answers.groupBy("predicted_label").agg(F.min("image_id").alias("image_id")).orderBy("predicted_label")
    labels = {row["image_id"]: row["predicted_label"] for row in chosen.limit(MAX_EXAMPLES).collect()}
    pictures = images.frame.where(F.col("image_id").isin(list(labels))).dropDuplicates(["image_id"])
    return {labels[row["image_id"]]: bytes(row["content"]) for row in pictures.select("image_id", "content").collect()}
