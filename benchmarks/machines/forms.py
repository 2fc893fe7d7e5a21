"""The forms in which this machine stands in for other processors: environment variables by name."""

from __future__ import annotations

import os
from collections.abc import Mapping

FORMS: Mapping[str, Mapping[str, str]] = {
    "as it is": {},
    "ATen without vectors": {"ATEN_CPU_CAPABILITY": "default"},
    "ATen AVX2": {"ATEN_CPU_CAPABILITY": "avx2"},
    "ATen AVX-512": {"ATEN_CPU_CAPABILITY": "avx512"},
    "oneDNN AVX2": {"ONEDNN_MAX_CPU_ISA": "AVX2"},
    "MKL compatible": {"MKL_CBWR": "COMPATIBLE"},
    "no native code": {"SECONDREAD_NATIVE": "0"},
    "float32": {"SECONDREAD_PRECISION": "float32"},
    "bf16": {"SECONDREAD_PRECISION": "bf16"},
    "one thread": {"OMP_NUM_THREADS": "1"},
    "two threads": {"OMP_NUM_THREADS": "2", "OMP_WAIT_POLICY": "passive"},
    "older CPU": {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "SECONDREAD_NATIVE": "0"},
}
VARIABLES = tuple({name: None for form in FORMS.values() for name in form})


def environment(form: str) -> dict[str, str]:
    """This process's environment in a form: what other forms set is not set, and there is one thread unless
    the form says otherwise."""
    kept = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    return {**kept, "OMP_NUM_THREADS": "1", **FORMS[form]}
