"""Provide all possible stuff that can be used."""

from . import options
from ._lib_info import libheif_info, libheif_version
from ._version import __version__
from .as_plugin import (
    HeifImageFile,
    register_heif_opener,
)
from .constants import (
    HeifColorPrimaries,
    HeifDepthRepresentationType,
    HeifMatrixCoefficients,
    HeifTransferCharacteristics,
)
from .heif import (
    HeifAuxImage,
    HeifDepthImage,
    HeifFile,
    HeifImage,
    HeifThumbnail,
    encode,
    from_bytes,
    from_pillow,
    is_supported,
    open_heif,
    read_heif,
)
from .misc import get_file_mimetype, load_libheif_plugin, set_orientation

__all__ = [
    "HeifAuxImage",
    "HeifColorPrimaries",
    "HeifDepthImage",
    "HeifDepthRepresentationType",
    "HeifFile",
    "HeifImage",
    "HeifImageFile",
    "HeifMatrixCoefficients",
    "HeifThumbnail",
    "HeifTransferCharacteristics",
    "__version__",
    "encode",
    "from_bytes",
    "from_pillow",
    "get_file_mimetype",
    "is_supported",
    "libheif_info",
    "libheif_version",
    "load_libheif_plugin",
    "open_heif",
    "options",
    "read_heif",
    "register_heif_opener",
    "set_orientation",
]
