"""The forms of the compiled network: for which processor, in which precision, and how each is compiled."""

from __future__ import annotations

import platform
import re
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch

COMMON = ("-O3", "-std=c++17", "-shared", "-fPIC", "-fopenmp", "-fvisibility=hidden", "-w")
VECTORS = ("-ffp-contract=fast", "-Wno-psabi")
AVX512 = ("-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512dq")
_AVX512 = ("avx512_f", "avx512_bw", "avx512_vl", "avx512_dq")


@dataclass(frozen=True)
class Form:
    """One way of compiling the network.

    machine    as `platform.machine` says it
    precision  that of the operands; sums are float32
    needs      what the processor must have: names of `torch.cpu.get_capabilities`, on ARM of /proc/cpuinfo
    source     below this folder
    """

    name: str
    machine: str
    precision: torch.dtype
    needs: tuple[str, ...]
    source: str
    flags: tuple[str, ...]

    @property
    def path(self) -> Path:
        return Path(__file__).parent / self.source


def vectors(
    name: str,
    machine: str,
    precision: torch.dtype,
    needs: tuple[str, ...],
    flags: tuple[str, ...],
    *,
    lanes: int,
    wide: int,
    rows: int,
) -> Form:
    """The portable source at a vector length and a tile of sums (`vectors/vectors.h`)."""
    half = int(precision is torch.bfloat16)
    sizes = (f"-DLANES={lanes}", f"-DWIDE={wide}", f"-DROWS={rows}", f"-DHALF={half}")
    return Form(name, machine, precision, needs, "vectors/coupling.cpp", (*COMMON, *VECTORS, *flags, *sizes))


_X86, _ARM, _HALF, _SINGLE = "x86_64", "aarch64", torch.bfloat16, torch.float32
FORMS = (
    Form(
        "AMX", _X86, _HALF, ("amx_bf16", "amx_tile", "avx512_bf16", *_AVX512), "amx/coupling.cpp",
        (*COMMON, *AVX512, "-mavx512bf16", "-mamx-tile", "-mamx-bf16"),
    ),
    vectors(
        "AVX-512 with bf16", _X86, _HALF, ("avx512_bf16", *_AVX512), (*AVX512, "-mavx512bf16"),
        lanes=16, wide=2, rows=8,
    ),
    vectors("AVX-512", _X86, _SINGLE, _AVX512, AVX512, lanes=16, wide=2, rows=8),
    vectors("AVX2", _X86, _SINGLE, ("avx2", "fma3"), ("-mavx2", "-mfma"), lanes=8, wide=2, rows=6),
    vectors("NEON with bf16", _ARM, _HALF, ("bf16",), ("-march=armv8.2-a+bf16",), lanes=4, wide=4, rows=4),
    vectors("NEON", _ARM, _SINGLE, ("asimd",), (), lanes=4, wide=4, rows=4),
)  # fmt: skip
"""The best of each precision first."""


def find_form(precision: torch.dtype) -> Form | str:
    """The best form that this processor can run, or why there is none."""
    if sys.platform != "linux":
        return f"not made for {sys.platform}"
    here = [form for form in FORMS if form.precision is precision and form.machine == platform.machine()]
    present = features()
    found = next((form for form in here if present.issuperset(form.needs)), None)
    if found is not None:
        return found
    wanted = " or ".join(form.name for form in reversed(here))
    return f"the CPU has no {wanted}" if wanted else f"not made for {platform.machine()}"


@cache
def features() -> frozenset[str]:
    """What this processor has."""
    if platform.machine() == _ARM:
        listed = re.search(r"^Features\s*:(.*)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.M)
        return frozenset(listed[1].split() if listed else ())
    return frozenset(name for name, value in torch.cpu.get_capabilities().items() if value is True)
