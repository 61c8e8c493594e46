"""Predictions of many labels for labelled images, ranked by workers, which return the largest probabilities.

Every probability of 5,000 labels would take 40 kB an image.
"""

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame

from pipeline.evaluation.calibration import soften
from pipeline.evaluation.labelled_predictions import LabelledPredictions, from_table, index_labels
from pipeline.evaluation.ranked import rank
from pipeline.training.softmax.answers import cut_batches
from pipeline.training.softmax.head import SoftmaxHead, send_head

_RANKED: Final = {
    **{"image_id": "string", "label": "string", "predicted_label": "string"},
    **{"probabilities": "array<double>", "places": "array<int>", "column": "int"},
}


def collect_ranked(
    labelled: DataFrame, many: SoftmaxHead, classes: Sequence[str], temperature: float
) -> LabelledPredictions:
    """Predicts labelled images, and collects ranked probabilities on the driver, in the order of their digests.

    Args:
        labelled: with `image_id`, `label` and `features`, which none lacks.
        many: the model.
        classes: classes of the result, among which are the labels of the model.
        temperature: temperature of the probabilities.
    """
    known = index_labels(np.array(many.labels, object), classes)
    wanted = labelled.select("image_id", "label", "features")
    schema = ", ".join(f"{name} {kind}" for name, kind in _RANKED.items())
    names, open_head = pa.array(classes), send_head(labelled.sparkSession, many)

    def predict(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        opened = open_head()
        for batch in cut_batches(batches):
            own = pc.fill_null(pc.index_in(batch["label"], names), -1).to_numpy(zero_copy_only=False)
            all_shares = np.zeros((batch.num_rows, len(names)))
            shares = opened.predict(batch["features"])
            all_shares[:, known] = shares if temperature == 1 else soften(shares, temperature)
            shares, places, columns = rank(all_shares, own)
            arrays = [batch["image_id"], batch["label"], names.take(pa.array(places[:, 0]))]
            arrays += [pa.array(list(shares)), pa.array(list(places)), pa.array(columns)]
            yield pa.RecordBatch.from_arrays(arrays, list(_RANKED))

    return from_table(wanted.mapInArrow(predict, schema).toArrow().sort_by("image_id"), classes)
