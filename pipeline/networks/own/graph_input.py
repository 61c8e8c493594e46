"""Graph input: layout, size, type and batch of the input of a user-supplied network.

Unsupported inputs are rejected with the tensor's name and shape. Cutting the graph belongs in `graph_cut.py`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from pipeline.networks.graph_session import GraphError

Shape = list[int | str]

FREE_SIZES: Final = (224, 256, 384, 240, 299, 336, 448, 512, 518)
"""Heights and widths that hubs train networks for, in pixels; of a network that takes any, the first one."""
DTYPES: Final = ("float32", "float16", "float64", "uint8")


@dataclass(frozen=True)
class GraphInput:
    """The only input of an image network."""

    name: str  # of the tensor
    dtype: str  # NumPy dtype, one of `DTYPES`
    size: int  # height and width of images, in pixels
    is_size_free: bool  # whether the network declares no size; `size` is then one that it takes
    is_batch_free: bool  # whether it takes any number of images at once; else it takes one
    is_channels_first: bool  # whether the shape is [n, 3, size, size]; else it is [n, size, size, 3]

    @property
    def shape(self) -> Shape:
        """The shape with a free batch."""
        return ["n", 3, self.size, self.size] if self.is_channels_first else ["n", self.size, self.size, 3]

    def arrange(self, scaled: np.ndarray) -> np.ndarray:
        """Converts scaled pixels `[n, size, size, 3]` to the layout and dtype of the network."""
        arranged = scaled.transpose(0, 3, 1, 2) if self.is_channels_first else scaled
        return np.ascontiguousarray(arranged, dtype=self.dtype)


def recognise_input(inputs: Sequence[tuple[str, str, Shape]]) -> GraphInput:
    """Recognises the only input, and takes the likeliest of what it leaves free; see `list_inputs`."""
    return list_inputs(inputs)[0]


def list_inputs(inputs: Sequence[tuple[str, str, Shape]], size: int | None = None) -> list[GraphInput]:
    """Lists what the only input of a network may be, the likeliest first; one that declares its shape can be one thing.

    Args:
        inputs: names, dtypes and shapes of all inputs; free dimensions are strings.
        size: height and width for a network that declares none; by default those of `FREE_SIZES`.

    Raises:
        GraphError: if there is not exactly one, or it is not for RGB images or unsupported.
    """
    if len(inputs) != 1:
        names = ", ".join(f"{name} {describe_shape(shape)}" for name, _, shape in inputs) or "none"
        raise GraphError(f"has {len(inputs)} inputs ({names}): export it with one, for images")
    ((name, dtype, shape),) = inputs
    description = f"its input {name} is {dtype} {describe_shape(shape)}"
    if dtype not in DTYPES:
        raise GraphError(f"has an input of unsupported type ({description}): export it with one of {', '.join(DTYPES)}")
    if len(shape) != 4:
        raise GraphError(f"takes no batch of images ({description}): export it with an input of four dimensions")
    layouts = _find_layouts(shape, description)
    batch, sides = shape[0], shape[2:] if layouts[0] else shape[1:3]
    if isinstance(batch, int) and batch > 1:
        raise GraphError(
            f"takes exactly {batch} images at once ({description}): export it with a free batch or a batch of 1"
        )
    known = {side for side in sides if isinstance(side, int)}
    if len(known) > 1:
        raise GraphError(f"takes images that are not square ({description}): export it with equal height and width")
    is_size_free = not all(isinstance(side, int) for side in sides)
    sizes = known or ([size] if size else FREE_SIZES)
    return [
        GraphInput(name, dtype, side, is_size_free, batch != 1, is_channels_first)
        for side in sizes
        for is_channels_first in layouts
    ]


def describe_shape(shape: Shape) -> str:
    """Formats a shape, such as `[n, 3, 224, 224]`."""
    return f"[{', '.join(map(str, shape))}]"


def _find_layouts(shape: Shape, description: str) -> list[bool]:
    """Whether channels come before height and width; both, the likelier first, if the shape leaves it open."""
    first, last = shape[1], shape[3]
    if (first == 3) != (last == 3):
        return [first == 3]
    if first == 3:
        raise GraphError(f"has ambiguous channels ({description}): export it with a larger size")
    counts = [count for count in (first, last) if isinstance(count, int) and count < 16]
    if counts:
        raise GraphError(
            f"takes {min(counts)} {'channel' if min(counts) == 1 else 'channels'} ({description}), but images have 3:"
            " export it with 3 channels (RGB)"
        )
    free = [position == "first" for position, count in (("first", first), ("last", last)) if isinstance(count, str)]
    if not free:
        raise GraphError(f"has no dimension of 3 channels ({description}): export it with 3 channels (RGB)")
    return free
