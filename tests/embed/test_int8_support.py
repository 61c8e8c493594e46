"""int8 support: recognised from the descriptions of real machines.

Their texts are shortened: one processor each, and few of the flags that are not asked for.
"""

from pathlib import Path

import pytest

from pipeline.embed import int8_support as processor
from pipeline.embed.int8_support import describe_processor, has_integer_dot_products, lists_dot_products, refuse_int8

SKYLAKE_LAPTOP = """\
processor\t: 0
vendor_id\t: GenuineIntel
cpu family\t: 6
model\t\t: 78
model name\t: Intel(R) Core(TM) i5-6267U CPU @ 2.90GHz
fpu\t\t: yes
flags\t\t: fpu vme de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 clflush mmx fxsr sse sse2 ht \
syscall nx rdtscp lm constant_tsc rep_good nopl xtopology nonstop_tsc pni pclmulqdq ssse3 cx16 sse4_1 sse4_2 x2apic \
movbe popcnt aes xsave avx rdrand hypervisor lahf_lm abm 3dnowprefetch rdseed clflushopt
bugs\t\t:
power management:
"""
ZEN_3 = """\
processor\t: 0
vendor_id\t: AuthenticAMD
cpu family\t: 25
model\t\t: 1
model name\t: AMD EPYC 7763 64-Core Processor
flags\t\t: fpu vme de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 clflush mmx fxsr sse sse2 ht \
syscall nx mmxext fxsr_opt pdpe1gb rdtscp lm constant_tsc rep_good nopl pni pclmulqdq ssse3 fma cx16 pcid sse4_1 \
sse4_2 movbe popcnt aes xsave avx f16c rdrand hypervisor lahf_lm cr8_legacy abm sse4a misalignsse 3dnowprefetch \
osvw topoext fsgsbase bmi1 avx2 smep bmi2 erms rdseed adx smap clflushopt clwb sha_ni xsaveopt xsavec xgetbv1 \
xsaves clzero umip vaes vpclmulqdq rdpid
bugs\t\t: sysret_ss_attrs null_seg spectre_v1 spectre_v2
"""
TIGER_LAKE = """\
processor       : 0
vendor_id       : GenuineIntel
model           : 140
model name      : 11th Gen Intel(R) Core(TM) i7-1165G7 @ 2.80GHz
flags           : fpu vme de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 clflush mmx fxsr sse sse2 \
ss ht syscall nx pdpe1gb rdtscp lm avx f16c rdrand bmi1 avx2 smep bmi2 erms invpcid avx512f avx512dq rdseed adx \
smap avx512ifma clflushopt clwb avx512cd sha_ni avx512bw avx512vl avx512vbmi umip avx512_vbmi2 gfni vaes vpclmulqdq \
avx512_vnni avx512_bitalg avx512_vpopcntdq rdpid fsrm avx512_vp2intersect md_clear flush_l1d arch_capabilities
vmx flags       : vnmi preemption_timer posted_intr invvpid
"""
ALDER_LAKE = """\
processor\t: 1
vendor_id\t: GenuineIntel
model\t\t: 151
model name\t: 12th Gen Intel(R) Core(TM) i5-12400
flags\t\t: fpu vme de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 clflush dts acpi mmx fxsr sse \
sse2 ss ht avx f16c rdrand lahf_lm abm 3dnowprefetch fsgsbase tsc_adjust bmi1 avx2 smep bmi2 erms invpcid rdseed \
adx smap clflushopt clwb intel_pt sha_ni xsaveopt xsavec xgetbv1 xsaves split_lock_detect avx_vnni dtherm ida arat \
pln pts hwp umip pku ospke waitpkg gfni vaes vpclmulqdq rdpid movdiri movdir64b fsrm md_clear serialize arch_lbr \
ibt flush_l1d arch_capabilities
"""
RASPBERRY_PI_4 = """\
processor\t: 0
BogoMIPS\t: 108.00
Features\t: fp asimd evtstrm crc32 cpuid
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x0
CPU part\t: 0xd08
CPU revision\t: 3

Hardware\t: BCM2711
Model\t\t: Raspberry Pi 4 Model B Rev 1.1
"""
GRAVITON_2 = """\
processor\t: 0
BogoMIPS\t: 243.75
Features\t: fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp ssbs
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x3
CPU part\t: 0xd0c
CPU revision\t: 1
"""

WITHOUT = {
    "Skylake": SKYLAKE_LAPTOP,
    "Zen 3": ZEN_3,
    "Raspberry Pi 4": RASPBERRY_PI_4,
    "no text": "",
    "RISC-V": "isa: x",
}
WITH = {"Tiger Lake": TIGER_LAKE, "Alder Lake": ALDER_LAKE, "Graviton 2": GRAVITON_2}


@pytest.mark.parametrize("text", WITHOUT.values(), ids=WITHOUT)
def test_processors_without_dot_products_are_recognised(text: str) -> None:
    assert not lists_dot_products(text)


@pytest.mark.parametrize("text", WITH.values(), ids=WITH)
def test_processors_with_dot_products_are_recognised(text: str) -> None:
    assert lists_dot_products(text)


def test_one_core_without_dot_products_is_enough_to_refuse_int8() -> None:
    """As on a board with large and small cores, where a task may run on any of them."""
    assert not lists_dot_products(f"{GRAVITON_2}\n{RASPBERRY_PI_4}")


@pytest.mark.parametrize(
    ("text", "name"),
    [(ZEN_3, "AMD EPYC 7763 64-Core Processor"), (RASPBERRY_PI_4, "Raspberry Pi 4 Model B Rev 1.1")],
)
def test_the_refusal_names_the_processor_and_the_missing_instructions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, name: str
) -> None:
    file = tmp_path / "cpuinfo"
    file.write_text(text)
    monkeypatch.setattr(processor, "CPU_INFO", file)
    assert describe_processor() == name
    assert (refuse_int8() or "").startswith(f"this processor ({name}) has no 8-bit dot products (AVX-512 VNNI, ")


def test_int8_is_accepted_with_dot_products(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "cpuinfo"
    file.write_text(GRAVITON_2)
    monkeypatch.setattr(processor, "CPU_INFO", file)
    assert refuse_int8() is None


def test_a_machine_without_cpu_info_counts_as_without_dot_products(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processor, "CPU_INFO", tmp_path / "nothing")
    assert not has_integer_dot_products()
    assert describe_processor()
