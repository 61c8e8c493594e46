"""Scaling choice: the pixel scaling that a user's own network expects, by evidence if there is any.

An ImageNet classifier recognises the known photos only with the correct scaling. For other networks it is assumed.
"""

from typing import Final, NamedTuple

import numpy as np

from pipeline.networks.graph_session import GraphError
from pipeline.networks.known_photos import decode_known_photos, load_known_photos
from pipeline.networks.own.graph_cut import Cut
from pipeline.networks.own.graph_input import GraphInput
from pipeline.networks.pixel_scaling import CAFFE, IMAGENET, RAW, SYMMETRIC, UNIT, PixelScaling
from pipeline.networks.pretrained import LastLayer

MIN_CORRECT: Final = 7  # known photos, of ten, that identify an ImageNet classifier
DETECTED: Final = (RAW, UNIT, SYMMETRIC, IMAGENET, CAFFE)  # CLIP's is too near ImageNet's to tell them apart


class ScalingChoice(NamedTuple):
    """A scaling and the reason for it."""

    scaling: PixelScaling
    reason: str  # phrase that follows the name of the scaling
    is_imagenet: bool  # whether the network classifies the known photos by ImageNet's classes


def choose_scaling(
    cut: Cut,
    graph_input: GraphInput,
    stated: tuple[PixelScaling, str] | None = None,
    hint: tuple[PixelScaling, str] | None = None,
) -> ScalingChoice:
    """Chooses the scaling that is stated, else the one with which the network classifies known photos, else a default.

    Args:
        cut: the network as a graph, with its classifier of 1000 classes if it has one.
        graph_input: input of the network in its own framework, which determines the default.
        stated: scaling that the user or a file beside the network states, and the reason.
        hint: scaling that the framework suggests, and the reason.

    Raises:
        GraphError: if the network takes bytes and a scaling to floats is stated.
    """
    if graph_input.dtype == "uint8" and stated and stated[0] != RAW:
        raise GraphError(f"takes uint8 (input {graph_input.name}) and cannot be scaled: unset DAYLIGHT_PIXEL_SCALING")
    usual = (RAW,) if graph_input.dtype == "uint8" else DETECTED
    candidates = (stated[0],) if stated else usual
    best, correct, evidence = candidates[0], 0, ""
    if cut.last_layer is not None:
        pixels = decode_known_photos(graph_input.size)
        found = {each: _judge(cut.run(each.apply(pixels)), cut.last_layer) for each in candidates}
        best = max(found, key=found.__getitem__)
        correct, _ = found[best]
        evidence = f"names {correct} of {len(load_known_photos())} known photos"
    if stated:
        return ScalingChoice(best, "; ".join(filter(None, [stated[1], evidence])), correct >= MIN_CORRECT)
    if correct >= MIN_CORRECT:
        return ScalingChoice(best, evidence, True)
    if graph_input.dtype == "uint8":
        return ScalingChoice(RAW, "it takes uint8", False)
    if hint is not None:
        return ScalingChoice(*hint, False)
    assumed = IMAGENET if graph_input.is_channels_first else SYMMETRIC
    return ScalingChoice(assumed, "assumed: set DAYLIGHT_PIXEL_SCALING where it is another", False)


def _judge(features: np.ndarray, last_layer: LastLayer) -> tuple[int, float]:
    """The number of correctly classified known photos, and the mean probability of accepted classes to break ties."""
    logits = last_layer.classify(features)
    logits = logits - logits.max(axis=1, keepdims=True)
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    accepted = [sorted(photo.accepted) for photo in load_known_photos()]
    correct = sum(int(row.argmax()) in classes for row, classes in zip(logits, accepted, strict=True))
    certainty = np.mean([row[classes].sum() for row, classes in zip(probabilities, accepted, strict=True)])
    return correct, float(certainty)
