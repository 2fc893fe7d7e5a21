"""A coupling's network in C++, in the form that suits this processor and a precision.

    AMX                                  bfloat16; tiles
    AVX-512 with bf16, NEON with bf16    bfloat16; vectors
    AVX-512, AVX2, NEON                  float32; vectors

The tiles have a source of their own (`amx/`). All vectors are one source (`vectors/`), whose
vector length and tile of sums are macros of a form (`forms.py`). Each form is a library of its own, compiled
for its instructions at its first use on a machine and kept with the user's caches (`networks.native`): the
choice is made where a library is loaded, and none has to choose inside. A wheel may hold the same libraries
built (`deploy/compiled_wheel.py`).
Whether what is compiled runs is measured on each machine (`flows.glow.choice`).

`native(precision)` is the network, or None where `why_not(precision)` says why.
"""

from pathlib import Path

from secondread.flows.glow.native.forms import FORMS, TILES
from secondread.flows.glow.native.tile_kernel import TileKernel
from secondread.flows.glow.native.vector_kernel import VectorKernel
from secondread.networks.native.build import Code
from secondread.networks.native.forms import Form


def _load(form: Form, library: Path) -> TileKernel | VectorKernel:
    return TileKernel(library) if form.path == TILES else VectorKernel(library)


COUPLING = Code("coupling", FORMS, _load, "the compiled coupling network is not used, fits take longer")
native, why_not, form_of, stamp = COUPLING.native, COUPLING.why_not, COUPLING.form_of, COUPLING.stamp

__all__ = ["COUPLING", "TileKernel", "VectorKernel", "form_of", "native", "stamp", "why_not"]
