"""Forms of compiled code: for which processor, in which precision, and how each is compiled."""

from __future__ import annotations

import platform
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch

COMMON = ("-O3", "-std=c++17", "-shared", "-fPIC", "-fopenmp", "-fvisibility=hidden", "-w")
VECTORS = ("-ffp-contract=fast", "-Wno-psabi")
AVX512 = ("-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512dq")
AVX512_NEEDS = ("avx512_f", "avx512_bw", "avx512_vl", "avx512_dq")
X86, ARM = "x86_64", "aarch64"
HEADERS = Path(__file__).parent


@dataclass(frozen=True)
class Form:
    """One way of compiling some code.

    machine    as `platform.machine` says it
    precision  that of the operands; sums are float32
    needs      what the processor must have: names of `torch.cpu.get_capabilities`, on ARM of /proc/cpuinfo
    path       of its source
    """

    name: str
    machine: str
    precision: torch.dtype
    needs: tuple[str, ...]
    path: Path
    flags: tuple[str, ...]

    @property
    def includes(self) -> tuple[str, ...]:
        """Where the compiler finds headers."""
        return (f"-I{HEADERS}",)


def vectors(
    path: Path,
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
    """A portable source at a vector length and a tile of sums (`vectors.h`)."""
    half = int(precision is torch.bfloat16)
    sizes = (f"-DLANES={lanes}", f"-DWIDE={wide}", f"-DROWS={rows}", f"-DHALF={half}")
    return Form(name, machine, precision, needs, path, (*COMMON, *VECTORS, *flags, *sizes))


def single(path: Path) -> tuple[Form, ...]:
    """A portable source in float32, for every processor; the best first."""
    kind = torch.float32
    return (
        vectors(path, "AVX-512", X86, kind, AVX512_NEEDS, AVX512, lanes=16, wide=2, rows=8),
        vectors(path, "AVX2", X86, kind, ("avx2", "fma3"), ("-mavx2", "-mfma"), lanes=8, wide=2, rows=6),
        vectors(path, "NEON", ARM, kind, ("asimd",), (), lanes=4, wide=4, rows=4),
    )


def find_form(forms: Sequence[Form], precision: torch.dtype) -> Form | str:
    """The first of the forms in this precision that this processor can run, or why there is none."""
    if sys.platform != "linux":
        return f"not made for {sys.platform}"
    here = [form for form in forms if form.precision is precision and form.machine == platform.machine()]
    present = features()
    found = next((form for form in here if present.issuperset(form.needs)), None)
    if found is not None:
        return found
    wanted = " or ".join(form.name for form in reversed(here))
    return f"the CPU has no {wanted}" if wanted else f"not made for {platform.machine()}"


@cache
def features() -> frozenset[str]:
    """What this processor has."""
    if platform.machine() == ARM:
        listed = re.search(r"^Features\s*:(.*)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.M)
        return frozenset(listed[1].split() if listed else ())
    return frozenset(name for name, value in torch.cpu.get_capabilities().items() if value is True)
