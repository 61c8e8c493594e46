"""The path on which Python finds packages, without other Sparks: a shell's PYTHONPATH comes before our own packages.

Imports no Spark: it runs before anything does.
"""

import os
import re
import sys
import sysconfig
from pathlib import Path
from typing import Final

VARIABLE: Final = "PYTHONPATH"
_ARCHIVE: Final = re.compile(r"^(py4j-.*|pyspark)\.zip$")


def keep_own_spark() -> None:
    """Removes every other Spark from the path of this process and of those that it starts."""
    sys.path[:] = [place for place in sys.path if not _has_other_spark(place)]
    if places := os.environ.get(VARIABLE):
        kept = [place for place in places.split(os.pathsep) if not _has_other_spark(place)]
        os.environ[VARIABLE] = os.pathsep.join(kept)


def _has_other_spark(place: str) -> bool:
    own = sysconfig.get_path("purelib")
    if not place or Path(place).resolve() == Path(own).resolve() or not Path(own, "pyspark").is_dir():
        return False
    return bool(_ARCHIVE.match(Path(place).name)) or Path(place, "pyspark", "__init__.py").is_file()
