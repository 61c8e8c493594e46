"""Scaling choice: which scaling of pixels a user's own network expects, by evidence where there is any.

A network that knows ImageNet's classes names the known photos when it is fed rightly; of any other it is only assumed.
"""

from typing import Final, NamedTuple

import numpy as np

from pipeline.networks.known_photos import decode_known_photos, load_known_photos
from pipeline.networks.own.graph_cut import Cut
from pipeline.networks.own.graph_input import GraphInput
from pipeline.networks.pixel_scaling import IMAGENET, RAW, SCALINGS, SYMMETRIC, PixelScaling
from pipeline.networks.pretrained import LastLayer
from pipeline.networks.subgraph import GraphError

MIN_RIGHT: Final = 7
"""Of ten known photos, to believe that a network knows ImageNet's classes."""

SET_IT: Final = "set DAYLIGHT_PIXEL_SCALING where it is another"


class ScalingChoice(NamedTuple):
    """A scaling, and how it was chosen.

    Attributes:
        scaling: what the network is given.
        reason: in words, after the name of the scaling.
        knows_imagenet: whether the network names the known photos by ImageNet's classes.
    """

    scaling: PixelScaling
    reason: str
    knows_imagenet: bool


class _Evidence(NamedTuple):
    right: int
    certainty: float


def choose_scaling(
    cut: Cut, taken: GraphInput, scaling_name: str = "", hint: tuple[PixelScaling, str] | None = None
) -> ScalingChoice:
    """Chooses the scaling that is set, else the one by which the network names known photos, else the likely one.

    Args:
        cut: the network as a graph, and its classifier of 1000 classes if it has one.
        taken: what the network takes in its own framework, whose custom is assumed in the end.
        scaling_name: one of `SCALINGS`; empty where none is set.
        hint: what the framework tells.

    Raises:
        GraphError: where bytes are taken, and a scaling to fractions is set.
    """
    if taken.dtype == "uint8" and scaling_name not in ("", RAW.name):
        raise GraphError(f"takes uint8 (input {taken.name}), which cannot be scaled: unset DAYLIGHT_PIXEL_SCALING")
    if scaling_name:
        candidates = [SCALINGS[scaling_name]]
    else:
        candidates = [RAW] if taken.dtype == "uint8" else list(SCALINGS.values())
    found: dict[str, _Evidence] = {}
    if cut.last_layer is not None:
        pixels = decode_known_photos(taken.size)
        found = {each.name: _judge(cut.run(each.apply(pixels)), cut.last_layer) for each in candidates}
    best = max(candidates, key=lambda each: found.get(each.name, _Evidence(0, 0)))
    right = found[best.name].right if found else 0
    evidence = f"names {right} of {len(load_known_photos())} known photos" if found else ""
    if scaling_name:
        return ScalingChoice(best, "; ".join(filter(None, ["as set", evidence])), right >= MIN_RIGHT)
    if right >= MIN_RIGHT:
        return ScalingChoice(best, evidence, True)
    if taken.dtype == "uint8":
        return ScalingChoice(RAW, "it takes uint8", False)
    if hint is not None:
        return ScalingChoice(*hint, False)
    return ScalingChoice(IMAGENET if taken.takes_planes else SYMMETRIC, f"assumed: {SET_IT}", False)


def _judge(features: np.ndarray, last_layer: LastLayer) -> _Evidence:
    """How many known photos are named rightly, and how surely; ties are broken by the second."""
    logits = last_layer.classify(features)
    logits = logits - logits.max(axis=1, keepdims=True)
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    accepted = [sorted(photo.accepted) for photo in load_known_photos()]
    right = sum(int(row.argmax()) in classes for row, classes in zip(logits, accepted, strict=True))
    certainty = np.mean([row[classes].sum() for row, classes in zip(probabilities, accepted, strict=True)])
    return _Evidence(right, float(certainty))
