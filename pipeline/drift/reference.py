"""The reference: what is known of the training set that days are compared with, prepared once for many days.

It is made of `training_features`, and packed into bytes without any pickle.
"""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Final

import numpy as np
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipeline.drift.comparison import MIN_COMPARED
from pipeline.drift.embedding_space import EmbeddingSpace, fit_embedding_space
from pipeline.drift.outlier_score import FOLD_COUNT, ClassGaussians, OutlierScorer
from pipeline.drift.permutation import Sample, prepare_sample
from pipeline.embed.quality import FLAGS
from pipeline.images.split import HOLDOUT, TRAIN
from pipeline.similarity.nearest import Nearest
from pipeline.similarity.samples import sample_labelled
from pipeline.storage.counting import only_row

REFERENCE_LIMIT: Final = 5_000
FITTED_LIMIT: Final = 1_000
"""Images sampled from the train split and the holdout. The limits bound the memory of the driver (26 MB and 5 MB for
vectors of 1,280) and the sensitivity."""

RARE_SHARE: Final = 0.02  # of the training images; a rarer quality flag is not covered by the cross-fits
CODE: Final = 1  # version of the code that prepares a reference: raise it with a change of results
_KINDS: Final = ("class", "background")


@dataclass(frozen=True)
class Reference:
    """The sample of the training set that days are compared with.

    Attributes:
        backbone: digest of the graph that made the vectors; empty where there are none.
        image_count: images of the train split in the sample.
        sample: the prepared sample; None if there are fewer than `MIN_COMPARED` images.
        rare_flags: quality flags that fewer than `RARE_SHARE` of the training images have; none where they were not
            judged.
    """

    backbone: str
    image_count: int
    sample: Sample | None
    rare_flags: tuple[str, ...] = ()


def read_reference(training_features: DataFrame) -> Reference:
    """Collects vectors of the train split, and fits the embedding space to the holdout."""
    readable = training_features.where(F.col("features").isNotNull())
    train, holdout = (readable.where(F.col("split") == split) for split in (TRAIN, HOLDOUT))
    first = train.select("backbone").head()
    labels, vectors = drop_non_finite(*sample_labelled(train, REFERENCE_LIMIT))
    holdout_labels, holdout_vectors = drop_non_finite(*sample_labelled(holdout, FITTED_LIMIT))
    space = fit_embedding_space(holdout_vectors, holdout_labels, vectors)
    return make_reference(first["backbone"] if first else "", vectors, labels, space, _list_rare(readable))


def make_reference(
    backbone: str,
    vectors: np.ndarray,
    labels: Sequence[str],
    space: EmbeddingSpace,
    rare_flags: tuple[str, ...] = (),
) -> Reference:
    """Prepares a reference.

    Args:
        backbone: digest of the graph that made the vectors.
        vectors: float32 `[n, dimension]` of length 1, finite.
        labels: one per vector.
        space: fitted to other vectors.
        rare_flags: quality flags that the training set hardly has.
    """
    sample = prepare_sample(vectors, labels, space) if len(vectors) >= MIN_COMPARED else None
    return Reference(backbone, len(vectors), sample, rare_flags)


def drop_non_finite(names: Sequence[str], vectors: np.ndarray) -> tuple[list[str], np.ndarray]:
    """Leaves out vectors with nan or infinity, and their names."""
    is_finite = np.isfinite(vectors).all(axis=1)
    return list(compress(names, is_finite)), vectors[is_finite]


def pack_reference(reference: Reference, key: str) -> bytes:
    """Packs a reference into the bytes of an `npz` file, with the key under which `unpack_reference` accepts it."""
    arrays: dict[str, np.ndarray] = {
        "key": np.array(key),
        "backbone": np.array(reference.backbone),
        "image_count": np.array(reference.image_count),
        "rare_flags": np.array(reference.rare_flags, np.str_),
    }
    if sample := reference.sample:
        arrays |= {name: getattr(sample, name) for name in ("points", "centre", "axes", "coordinates")}
        arrays |= {"radius": np.array(sample.radius), "outlier_scores": sample.outlier_scores}
        arrays |= {"space_axes": sample.space.axes, "space_class_scores": sample.space.class_scores}
        arrays |= {"nearest_indices": sample.nearest.indices, "nearest_distances": sample.nearest.distances}
        for kind, gaussians in zip(_KINDS, (sample.scorer.classes, sample.scorer.backgrounds), strict=True):
            for fold, each in enumerate(gaussians):
                arrays |= {f"{kind}_whitener_{fold}": each.whitener, f"{kind}_means_{fold}": each.means}
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, **arrays)
    return file.getvalue()


def unpack_reference(content: bytes, key: str) -> Reference | None:
    """Unpacks a reference; None if it was packed under another key.

    Raises:
        ValueError, KeyError or zipfile.BadZipFile: if the bytes are damaged.
    """
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        if str(arrays["key"]) != key:
            return None
        sample = _unpack_sample(arrays) if "points" in arrays else None
        flags = tuple(map(str, arrays["rare_flags"]))
        return Reference(str(arrays["backbone"]), int(arrays["image_count"]), sample, flags)


def _unpack_sample(arrays: Mapping[str, np.ndarray]) -> Sample:
    gaussians = [
        tuple(
            ClassGaussians(arrays[f"{kind}_whitener_{fold}"], arrays[f"{kind}_means_{fold}"])
            for fold in range(FOLD_COUNT)
        )
        for kind in _KINDS
    ]
    return Sample(
        *(arrays["points"], arrays["centre"], arrays["axes"], float(arrays["radius"])),
        EmbeddingSpace(arrays["space_axes"], arrays["space_class_scores"]),
        arrays["coordinates"],
        Nearest(arrays["nearest_indices"], arrays["nearest_distances"]),
        OutlierScorer(*gaussians),
        arrays["outlier_scores"],
    )


def _list_rare(training_features: DataFrame) -> tuple[str, ...]:
    """Lists the quality flags that the training images hardly have; none if no image was judged."""
    if "quality_flags" not in training_features.columns:
        return ()
    judged = F.count("quality_flags").alias("judged")
    counts = only_row(
        training_features.select(judged, *(F.count_if(F.array_contains("quality_flags", flag)) for flag in FLAGS))
    )
    judged_count, *flagged = counts
    return tuple(
        flag for flag, count in zip(FLAGS, flagged, strict=True) if judged_count and count < RARE_SHARE * judged_count
    )
