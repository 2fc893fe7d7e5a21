"""A coupling's network in C++, in the form that suits this processor and a precision.

    AMX                                  bfloat16; tiles
    AVX-512 with bf16, NEON with bf16    bfloat16; vectors
    AVX-512, AVX2, NEON                  float32; vectors

The tiles have a source of their own (`amx/`). All vectors are one source (`vectors/`), in the compilers' own
vector types, whose length and tile of sums are macros of a form (`forms.py`). Each form is a library of its
own, compiled for its instructions at its first use on a machine and kept with the user's caches: the choice
is made where a library is loaded, and none has to choose inside. A wheel could hold the same libraries built.
Whether what is compiled runs is measured on each machine (`flows.glow.choice`).

`native(precision)` is the network, or None where `why_not(precision)` says why.
"""

from secondread.flows.glow.native.build import form_of, native, stamp, why_not
from secondread.flows.glow.native.tile_kernel import TileKernel
from secondread.flows.glow.native.vector_kernel import VectorKernel

__all__ = ["TileKernel", "VectorKernel", "form_of", "native", "stamp", "why_not"]
