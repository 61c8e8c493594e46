"""Parameters of a training: the head, its own parameters or a search for them, and how confidences are calibrated."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from pipeline.evaluation.ranked import MANY
from pipeline.training.heads import AUTO, Normalization, Number, head_params


@dataclass(frozen=True)
class ClassifierParams:
    """Parameters of a training.

    Attributes:
        head: one of `heads.HeadName`; `settle_head` replaces `auto`.
        normalization: normalization of the vector before the head.
        params: MLlib parameters of the head by name, which override its defaults.
        grid: values by parameter; cross-validation tries every combination, and the best one is fitted on all rows.
        folds: folds of the cross-validation.
        seed: seed of the whole training.
        target_precision: minimum precision of auto-accepted predictions, 0 to 1; the others go to review.
        calibration_folds: folds of the cross-fit that calibrates confidences.
        heads: heads to compare, each with its grid, in place of `head`, `params` and `grid`; the best one is fitted.
    """

    head: str = "logistic_regression"
    normalization: Normalization = "l2"
    params: Mapping[str, Number] = field(default_factory=dict)
    grid: Mapping[str, Sequence[Number]] = field(default_factory=dict)
    folds: int = 3
    seed: int = 20260101
    target_precision: float = 0.95
    calibration_folds: int = 5
    heads: Mapping[str, Mapping[str, Sequence[Number]]] = field(default_factory=dict)


def settle_head(params: ClassifierParams, label_count: int) -> ClassifierParams:
    """Chooses the head for `auto`: in closed form for more than `MANY` labels, whose cost hardly grows with them."""
    if params.head != AUTO:
        return params
    return replace(params, head="logistic_regression" if label_count <= MANY else "linear_discriminant")


def resolve_params(params: ClassifierParams) -> dict[str, Any]:
    """Converts to plain values and adds the defaults of the head; existing versions know no `heads`."""
    plain = {**asdict(params), "params": head_params(params.head, params.params)}
    return plain if params.heads else {name: value for name, value in plain.items() if name != "heads"}


def count_fits(params: ClassifierParams) -> int:
    """Counts the pipelines that `fit_pipeline` fits."""
    grids = params.heads.values() if params.heads else [params.grid] if params.grid else []
    return max(1, len(params.heads)) + params.folds * sum(math.prod(map(len, grid.values())) for grid in grids)


def settle_search(params: ClassifierParams, chosen: Mapping[str, Any]) -> ClassifierParams:
    """Replaces a search by what it chose."""
    best = {name: value for name, value in chosen.get("best", {}).items() if name != "accuracy"}
    if params.heads:
        return replace(params, head=best.pop("head"), params=best, grid={}, heads={})
    return replace(params, params={**params.params, **best}, grid={})
