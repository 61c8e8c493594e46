"""Parity of the end-to-end graph: compares its predictions with those of its classifier on the whole holdout."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import nan
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame, Row
from pyspark.sql import functions as F

from pipeline.embed.backbone import Backbone, open_session
from pipeline.embed.fits import FITS
from pipeline.embed.limits import DEFAULT_LIMITS, Limits
from pipeline.embed.pixels import Decoding
from pipeline.images.cache_lookup import find_images
from pipeline.images.features import COLUMNS, embed_stored
from pipeline.images.lost_files import list_lost
from pipeline.images.split import HOLDOUT
from pipeline.reports.thumbnails import read_pixels
from pipeline.storage.columns.arrow_schema import to_arrow_schema
from pipeline.storage.columns.schema import parse_schema
from pipeline.storage.counting import only_row
from pipeline.storage.stored_rows import StoredRows
from pipeline.storage.vectors import to_matrix
from pipeline.training.classifier import Classifier, predict
from pipeline.training.graph.head import LABEL

MAX_DIFFERENCE: Final = 1e-5  # of a probability, from float32 and the order of additions
MAX_EXAMPLES: Final = 64  # images, one per label, whose output `label` the driver compares
_COMPARED: Final = "whole_count long, max_difference double, other_count long"


@dataclass(frozen=True)
class GraphParity:
    """Comparison of an end-to-end graph with its classifier.

    Attributes:
        source: origin of the features that the classifier predicted from.
        compared_count: holdout images with features.
        missing_count: images without a probability for every label from the graph.
        max_difference: maximum difference of a probability; NaN if a probability is NaN.
        other_count: images whose predicted label is not the graph's most probable one.
        example_count: images whose output `label` was compared, one per predicted label.
        other_examples: labels that the classifier predicted for these images and the graph did not.
        lost_count: holdout images left out because their files are gone or have changed.
    """

    source: str
    compared_count: int
    missing_count: int
    max_difference: float
    other_count: int
    example_count: int
    other_examples: Sequence[str]
    lost_count: int = 0

    @property
    def holds(self) -> bool:
        """Whether the graph predicts as the classifier does."""
        differs = self.missing_count or self.other_count or self.other_examples
        return self.example_count > 0 and not differs and self.max_difference <= MAX_DIFFERENCE

    @property
    def message(self) -> str:
        """The comparison as a sentence."""
        return (
            f"{self.compared_count} holdout images, compared with {self.source}: probabilities differ by at most"
            f" {self.max_difference:.1e} ({MAX_DIFFERENCE:.0e} allowed), {self.other_count} images have another label,"
            f" {self.missing_count} no prediction; {len(self.other_examples)} of {self.example_count} sample images got"
            " a different label"
            + (f"; {self.lost_count} were left out, whose files are gone or have changed" if self.lost_count else "")
        )


def measure_graph_parity(
    graph: Backbone,
    classifier: Classifier,
    backbone: Backbone,
    images: StoredRows,
    features: DataFrame,
    limits: Limits = DEFAULT_LIMITS,
) -> GraphParity:
    """Runs an end-to-end graph over the whole holdout in Spark, from image bytes, and compares it with its classifier.

    Stored features may come from another processor, which rounds differently. If they give different predictions, the
    images are embedded again and those features decide: three passes over the holdout instead of one. The driver holds
    about 200 bytes per image and the bytes of `MAX_EXAMPLES` images.

    Args:
        graph: end-to-end graph, opened like a backbone.
        classifier: classifier in the graph.
        backbone: backbone in the graph.
        images: labelled images, with the columns of `contents.COLUMNS`.
        features: features of the same images, with `image_id`, `split`, `features` and `backbone`.
        limits: limits of an image.
    """
    whole = features.where((F.col("split") == HOLDOUT) & F.col("features").isNotNull())
    whole_ids, lost = whole.select("image_id").toArrow()["image_id"].to_pylist(), list_lost(images)
    ids = sorted(set(whole_ids) - set(lost))
    holdout = whole.where(~F.col("image_id").isin(lost)) if lost else whole
    places = find_images(images, ids)
    outputs = embed_stored(images, places, graph, COLUMNS, limits).frame
    shares = outputs.select("image_id", F.col("features").alias("shares"))

    def compare(source: str, embedded: DataFrame) -> GraphParity:
        predictions = predict(embedded, classifier)
        found = _compare_shares(predictions.join(shares, "image_id", "left"), classifier.labels)
        examples = _pick_examples(predictions)
        named = label_images(graph, read_pixels(images, examples, Decoding(graph.size, limits, FITS[graph.fit])))
        others = [label for image_id, label in examples.items() if named.get(image_id) != label]
        return GraphParity(
            source=source,
            compared_count=len(ids),
            missing_count=len(ids) - found["whole_count"],
            max_difference=nan if found["max_difference"] is None else found["max_difference"],
            other_count=found["other_count"],
            example_count=len(examples),
            other_examples=others,
            lost_count=len(whole_ids) - len(ids),
        )

    parity = compare("stored features", holdout)
    if parity.holds:
        return parity
    return compare("new features", embed_stored(images, places, backbone, COLUMNS, limits).frame)


def _compare_shares(joined: DataFrame, labels: Sequence[str]) -> Row:
    """Compares the `shares` of a graph with `probabilities` and `predicted_label` of the classifier.

    Of many labels, those that `probabilities` lists are compared.
    """
    names, schema = pa.array(labels), to_arrow_schema(parse_schema(_COMPARED))

    def compare(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            lengths = pc.fill_null(pc.list_value_length(batch["shares"]), 0).to_numpy(zero_copy_only=False)
            whole = batch.filter(pa.array(lengths == len(names)))
            shares = to_matrix(whole["shares"], np.float64).reshape(whole.num_rows, len(names))
            listed, rows = whole["probabilities"], np.arange(whole.num_rows)
            places = pc.fill_null(pc.index_in(listed.keys, names), -1).to_numpy(zero_copy_only=False)
            owners = np.repeat(rows, np.diff(listed.offsets.to_numpy()))
            differences = np.abs(listed.items.to_numpy() - shares[owners, places])[places >= 0]
            own = shares[rows, pc.index_in(whole["predicted_label"], names).to_numpy()]
            found = {
                "whole_count": [whole.num_rows],
                "max_difference": [float(differences.max()) if len(differences) else None],
                "other_count": [int((own < shares.max(axis=1, initial=0)).sum())],
            }
            yield pa.RecordBatch.from_pydict(found, schema)

    compared = joined.select("shares", "probabilities", "predicted_label").mapInArrow(compare, _COMPARED)
    sums = (F.coalesce(F.sum(name), F.lit(0)).alias(name) for name in ("whole_count", "other_count"))
    return only_row(compared.select(*sums, F.max("max_difference").alias("max_difference")))


def label_images(graph: Backbone, images: Mapping[str, np.ndarray]) -> dict[str, str]:
    """Computes the output `label` of images, uint8 RGB `[size, size, 3]` by `image_id`."""
    session = open_session(graph.path)
    name, labels = session.get_inputs()[0].name, {}
    for image_id, pixels in images.items():
        (label,) = session.run([LABEL], {name: pixels[None]})
        labels[image_id] = str(label[0])
    return labels


def _pick_examples(predictions: DataFrame) -> dict[str, str]:
    """Picks one image per predicted label: the label by `image_id`."""
    chosen = predictions.groupBy("predicted_label").agg(F.min("image_id").alias("image_id")).orderBy("predicted_label")
    return {row["image_id"]: row["predicted_label"] for row in chosen.limit(MAX_EXAMPLES).collect()}
