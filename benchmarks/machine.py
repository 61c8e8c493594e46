"""The machine and the package versions that results depend on."""

import os
import platform
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

VECTOR_FLAGS: Final = ("avx2", "avx512f", "avx_vnni", "avx512_vnni", "amx_int8", "asimddp", "i8mm")
PACKAGES: Final = (
    "onnxruntime",
    "pillow",
    "opencv-python-headless",
    "simplejpeg",
    "numpy",
    "pyarrow",
    "pyspark",
    "deltalake",
    "keras",
    "tensorflow-cpu",
)
PEER_PACKAGES: Final = ("ray", "daft", "onnxruntime", "pillow", "numpy", "pyarrow")


def describe_machine() -> dict[str, str | int | float]:
    """Processor, cores, memory and instructions relevant to inference; nothing that identifies the machine."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    cpu = dict([part.strip() for part in line.split(":", 1)] for line in lines if ":" in line)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    flags = (cpu.get("flags") or cpu.get("Features") or "").split()
    return {
        "processor": cpu.get("model name", platform.machine()),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(memory / 2**30, 1),
        "flags": " ".join(flag for flag in VECTOR_FLAGS if flag in flags),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def list_versions(python: Path, packages: Sequence[str]) -> dict[str, str]:
    """Versions of packages in an environment; missing packages are left out."""
    listed = subprocess.run(  # noqa: S603 trusted
        [python, "-c", "from importlib.metadata import distributions as d\nfor x in d(): print(x.name, x.version)"],
        capture_output=True,
        text=True,
        check=True,
    )
    found = {name.lower(): version for name, version in (line.split(" ", 1) for line in listed.stdout.splitlines())}
    return {name: found[name] for name in packages if name in found}
