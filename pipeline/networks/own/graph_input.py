"""Graph input: what a stranger's network takes for a picture: its layout, size, type and batch.

What cannot be taken is refused with the tensor's name and shape; what is done with the graph is `graph_cut.py`.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from pipeline.networks.subgraph import GraphError

Shape = list[int | str]

FREE_SIZE: Final = 224
"""Side of the pictures where a network takes any: what most were trained on."""

DTYPES: Final = ("float32", "float16", "float64", "uint8")


@dataclass(frozen=True)
class GraphInput:
    """The one input of a network for pictures.

    Attributes:
        name: of the tensor.
        dtype: of numpy, one of `DTYPES`.
        size: side of the square pictures, in pixels.
        is_size_free: whether the network takes any size, so that `FREE_SIZE` was chosen.
        is_batch_free: whether it takes any number of pictures at once; else it takes one.
        takes_planes: `[n, 3, size, size]`, else `[n, size, size, 3]`.
    """

    name: str
    dtype: str
    size: int
    is_size_free: bool
    is_batch_free: bool
    takes_planes: bool

    @property
    def shape(self) -> Shape:
        """The shape, with a free batch."""
        return ["n", 3, self.size, self.size] if self.takes_planes else ["n", self.size, self.size, 3]

    def arrange(self, scaled: np.ndarray) -> np.ndarray:
        """Brings scaled pixels `[n, size, size, 3]` into the layout and type of the network."""
        arranged = scaled.transpose(0, 3, 1, 2) if self.takes_planes else scaled
        return np.ascontiguousarray(arranged, dtype=self.dtype)


def recognise_input(name: str, dtype: str, shape: Shape) -> GraphInput:
    """Recognises what an input takes from its shape, in which a free dimension is a text.

    Raises:
        GraphError: where it is no input for RGB pictures, or one that Daylight cannot feed.
    """
    said = f"its input {name} is {dtype} {describe_shape(shape)}"
    if dtype not in DTYPES:
        raise GraphError(
            f"takes no pixels that Daylight can give it ({said}): export it with one of {', '.join(DTYPES)}"
        )
    if len(shape) != 4:
        raise GraphError(f"takes no batch of pictures ({said}): export it with an input of four dimensions")
    takes_planes = _find_layout(shape, said)
    batch, sides = shape[0], shape[2:] if takes_planes else shape[1:3]
    if isinstance(batch, int) and batch > 1:
        raise GraphError(
            f"takes exactly {batch} pictures at once ({said}): export it with a free batch, or a batch of 1"
        )
    known = {side for side in sides if isinstance(side, int)}
    if len(known) > 1:
        raise GraphError(f"takes pictures that are not square ({said}): export it with equal height and width")
    size = known.pop() if known else FREE_SIZE
    is_size_free = not all(isinstance(side, int) for side in sides)
    return GraphInput(name, dtype, size, is_size_free, batch != 1, takes_planes)


def describe_shape(shape: Shape) -> str:
    """A shape as people write it: `[n, 3, 224, 224]`."""
    return f"[{', '.join(map(str, shape))}]"


def _find_layout(shape: Shape, said: str) -> bool:
    """Whether the channels stand before height and width."""
    first, last = shape[1], shape[3]
    if (first == 3) != (last == 3):
        return first == 3
    if first == 3:
        raise GraphError(
            f"does not say which of its dimensions are the channels ({said}): export it with a larger size"
        )
    counts = [count for count in (first, last) if isinstance(count, int) and count < 16]
    if counts:
        raise GraphError(
            f"takes {min(counts)} {'channel' if min(counts) == 1 else 'channels'} ({said}), but pictures have 3 (RGB):"
            " export it with 3 channels"
        )
    raise GraphError(f"has no dimension of 3 channels ({said}): export it with a fixed number of channels")
