"""Sidecar files: what operating systems and file servers write beside photos, such as `._x.jpg` or `Thumbs.db`.

A file is one by its folder, or by its name and its bytes. Its row is kept, but it is neither an image nor a rejection.
"""

import re
from typing import Final

from pipeline.embed.file_kinds import explain_unopened
from pipeline.embed.reasons import NOT_AN_IMAGE

SIDECAR: Final = "sidecar file"
START_BYTES: Final = 1024  # of a file, enough to recognise an image

FOLDERS: Final = frozenset(
    {
        *("__MACOSX", ".AppleDouble", ".AppleDB", ".AppleDesktop", ".DocumentRevisions-V100", ".fseventsd"),  # macOS
        *(".Spotlight-V100", ".TemporaryItems", ".Trashes", "Network Trash Folder", "Temporary Items"),
        *("$RECYCLE.BIN", "$Recycle.Bin", "RECYCLER", "System Volume Information"),  # Windows
        *(".thumbnails", ".Trash", ".xvpics", "lost+found"),  # Linux
        *("@eaDir", "#recycle", "@Recycle", "@__thumb", ".@__thumb"),  # Synology, QNAP
    }
)
"""Folders by the exact name that their system gives them: a label may be spelt almost alike."""
NAMES: Final = frozenset(
    {
        *(".ds_store", ".localized", ".apdisk", "icon\r", "icon\uf00d"),  # macOS
        *("thumbs.db", "thumbs.db:encryptable", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini"),  # Windows
        *(".directory", ".nomedia"),  # KDE, Android
        *(".picasa.ini", "picasa.ini", "zbthumbnail.info"),  # photo managers
    }
)
"""Names in lower case; Windows and servers for it change the case."""
ENDINGS: Final = (
    *("@synoeastream", "@synoresource"),  # Synology
    *(":zone.identifier", "\uf03azone.identifier", ":afp_afpinfo", ":afp_resource"),  # streams of NTFS
    *(".aae", ".xmp"),  # edits of a photo
)
APPLE_DOUBLE: Final = "._"  # start of the name of what macOS knows about the file that is named by the rest
_USERS_TRASH: Final = re.compile(r"\.Trash-\d+")  # of freedesktop.org


def is_sidecar(path: str, start: bytes) -> bool:
    """Whether a file is a sidecar, by its path and its first `START_BYTES` bytes.

    A file with the name of a sidecar and the signature of an image, sound or damaged, is an image.
    """
    is_named = _has_own_name(path) or _name(path).startswith(APPLE_DOUBLE)
    return is_below_sidecar_folder(path) or (is_named and explain_unopened(start) == NOT_AN_IMAGE)


def is_sidecar_path(path: str) -> bool:
    """Whether a file is surely a sidecar by its path alone; one named `._…` may be a photo."""
    return is_below_sidecar_folder(path) or _has_own_name(path)


def is_below_sidecar_folder(path: str) -> bool:
    """Whether a file lies below a sidecar folder, at any depth."""
    return any(folder in FOLDERS or _USERS_TRASH.fullmatch(folder) for folder in path.split("/")[:-1])


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _has_own_name(path: str) -> bool:
    name = _name(path).lower()
    while name.startswith(APPLE_DOUBLE):
        name = name.removeprefix(APPLE_DOUBLE)
    return name in NAMES or name.endswith(ENDINGS)
