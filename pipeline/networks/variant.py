"""Variant: one way to use a network where it leaves a choice: how its features are read, and its images fitted."""

from typing import NamedTuple

from pipeline.embed.fits import LETTERBOX


class Variant(NamedTuple):
    """A reading and a fit."""

    features_tensor: str = ""  # one of `Pretrained.readings`; empty: the network's own
    fit: str = LETTERBOX.name

    def __str__(self) -> str:
        """Names it for people."""
        return " ".join(filter(None, (self.features_tensor, self.fit)))
