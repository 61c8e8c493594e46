"""The processor: whether it multiplies bytes and adds the products up in one instruction, as int8 graphs need.

Without such instructions ONNX Runtime takes several in the place of one, which is slower than fp32, and on x86 it adds
up in 16 bits that overflow, which gives other features.
"""

import platform
import re
import subprocess
from pathlib import Path
from typing import Final

CPU_INFO: Final = Path("/proc/cpuinfo")
"""Where Linux tells of its processors."""

DOT_PRODUCTS: Final = frozenset({"avx512_vnni", "avx_vnni", "amx_int8", "asimddp"})
"""What Linux calls the instructions: three of x86, and ARM's."""

_FLAGS: Final = re.compile(r"^(?:flags|Features)[ \t]*:(.*)$", re.MULTILINE)
_NAME: Final = re.compile(r"^(?:model name|Model)[ \t]*:[ \t]*(.+?)[ \t]*$", re.MULTILINE)


def refuse_int8() -> str | None:
    """Why int8 must not be used on this machine; None where it may."""
    if has_integer_dot_products():
        return None
    return (
        f"this processor ({describe_processor()}) has no 8-bit dot products (AVX-512 VNNI, AVX-VNNI, ARM dot product):"
        " int8 would be slower than fp32 and its features could differ"
    )


def has_integer_dot_products() -> bool:
    """Whether this machine has them.

    False wherever nobody can tell (no Linux, no Mac with ARM): fp32 is right everywhere, and int8 only where it is
    known to be.
    """
    if platform.system() == "Darwin":
        return _ask_mac("hw.optional.arm.FEAT_DotProd") == "1"
    return tells_of_dot_products(_cpu_info())


def tells_of_dot_products(cpu_info: str) -> bool:
    """Whether all processors of a `/proc/cpuinfo` have them: a task may run on any."""
    flags = [set(found.split()) for found in _FLAGS.findall(cpu_info)]
    return bool(flags) and all(DOT_PRODUCTS & each for each in flags)


def describe_processor() -> str:
    """The name of the processor, or of its kind where it has none, as ARM's under Linux."""
    if platform.system() == "Darwin":
        return _ask_mac("machdep.cpu.brand_string") or platform.machine()
    found = _NAME.search(_cpu_info())
    return found[1] if found else platform.machine()


def _cpu_info() -> str:
    return CPU_INFO.read_text(errors="replace") if CPU_INFO.exists() else ""


def _ask_mac(name: str) -> str:
    command = ["/usr/sbin/sysctl", "-n", name]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 names are ours
    return done.stdout.strip()
