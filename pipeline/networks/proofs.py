"""Proofs: what a stored graph must show before it embeds anybody's pictures: that it is its network, and that it sees.

How they are measured is `parity.py` and `known_photos.py`.
"""

from typing import Final

from pipeline.backbone import Backbone
from pipeline.networks.known_photos import classify_known_photos, decode_known_photos
from pipeline.networks.parity import LEAST_COSINE, measure_parity
from pipeline.networks.pretrained import Pretrained

LEAST_RIGHT_SHARE: Final = 0.8
"""Of the known photos, 0 to 1."""


def tell_failure(backbone: Backbone, pretrained: Pretrained) -> str | None:
    """Which proof a graph fails, in words; None where it passes all that its network allows.

    A graph that was calibrated on pictures which are nothing like photos may: its ranges are not theirs.
    """
    parity = measure_parity(pretrained.embed, backbone, decode_known_photos(backbone.size))
    if not parity.is_within(backbone.precision):
        least = LEAST_COSINE[backbone.precision]
        return (
            f"its features of known photos are not those of the network (cosine {parity.smallest_cosine:.3f},"
            f" allowed {least}; difference {parity.scaled_difference:.3f} of their scale)"
        )
    if pretrained.last_layer is None:
        return None
    answers = classify_known_photos(backbone, pretrained.last_layer)
    right_share = sum(answer.is_right for answer in answers) / len(answers)
    if right_share < LEAST_RIGHT_SHARE:
        return f"it names only {right_share:.0%} of the known photos rightly"
    return None
