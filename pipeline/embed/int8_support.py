"""int8 support: whether the processor has the 8-bit dot-product instructions that int8 graphs need.

Without them ONNX Runtime is slower than in fp32, and on x86 its 16-bit sums overflow, which changes the features.
"""

import platform
import re
import subprocess
from pathlib import Path
from typing import Final

CPU_INFO: Final = Path("/proc/cpuinfo")
DOT_PRODUCTS: Final = frozenset({"avx512_vnni", "avx_vnni", "amx_int8", "asimddp"})  # Linux's names; the last is ARM's
_FLAGS: Final = re.compile(r"^(?:flags|Features)[ \t]*:(.*)$", re.MULTILINE)
_NAME: Final = re.compile(r"^(?:model name|Model)[ \t]*:[ \t]*(.+?)[ \t]*$", re.MULTILINE)


def refuse_int8() -> str | None:
    """Explains why int8 must not be used on this machine; None if it may."""
    if has_integer_dot_products():
        return None
    return (
        f"this processor ({describe_processor()}) has no 8-bit dot products (AVX-512 VNNI, AVX-VNNI, ARM dot product):"
        " int8 would be slower than fp32 and its features could differ"
    )


def has_integer_dot_products() -> bool:
    """Whether this machine has 8-bit dot products; False if unknown (neither Linux nor an ARM Mac)."""
    if platform.system() == "Darwin":
        return _read_sysctl("hw.optional.arm.FEAT_DotProd") == "1"
    return lists_dot_products(_cpu_info())


def lists_dot_products(cpu_info: str) -> bool:
    """Whether every processor in a `/proc/cpuinfo` has 8-bit dot products: a task may run on any of them."""
    flags = [set(found.split()) for found in _FLAGS.findall(cpu_info)]
    return bool(flags) and all(DOT_PRODUCTS & each for each in flags)


def describe_processor() -> str:
    """Name of the processor, or its architecture if it has no name, as with ARM on Linux."""
    if platform.system() == "Darwin":
        return _read_sysctl("machdep.cpu.brand_string") or platform.machine()
    found = _NAME.search(_cpu_info())
    return found[1] if found else platform.machine()


def _cpu_info() -> str:
    return CPU_INFO.read_text(errors="replace") if CPU_INFO.exists() else ""


def _read_sysctl(name: str) -> str:
    command = ["/usr/sbin/sysctl", "-n", name]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 fixed names only
    return done.stdout.strip()
