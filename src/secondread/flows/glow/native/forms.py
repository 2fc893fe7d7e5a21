"""The forms of a coupling's compiled network."""

from __future__ import annotations

from pathlib import Path

import torch

from secondread.networks.native.forms import (
    ARM,
    AVX512,
    AVX512_NEEDS,
    COMMON,
    X86,
    Form,
    single,
    vectors,
)

TILES = Path(__file__).parent / "amx" / "coupling.cpp"
VECTORS = Path(__file__).parent / "vectors" / "coupling.cpp"
_HALF = torch.bfloat16
FORMS = (
    Form(
        "AMX", X86, _HALF, ("amx_bf16", "amx_tile", "avx512_bf16", *AVX512_NEEDS), TILES,
        (*COMMON, *AVX512, "-mavx512bf16", "-mamx-tile", "-mamx-bf16"),
    ),
    vectors(
        VECTORS, "AVX-512 with bf16", X86, _HALF, ("avx512_bf16", *AVX512_NEEDS), (*AVX512, "-mavx512bf16"),
        lanes=16, wide=2, rows=8,
    ),
    vectors(
        VECTORS, "NEON with bf16", ARM, _HALF, ("bf16",), ("-march=armv8.2-a+bf16",),
        lanes=4, wide=4, rows=4,
    ),
    *single(VECTORS),
)  # fmt: skip
"""The best of each precision first."""
