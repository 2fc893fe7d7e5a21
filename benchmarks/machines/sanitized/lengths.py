"""Forms of compiled code whose vectors are those of another processor, for this one."""

from __future__ import annotations

from dataclasses import replace

from secondread.networks.native.forms import Form


def in_its_lengths(form: Form) -> Form:
    """A form's lengths, for AVX2."""
    flags = [flag for flag in form.flags if not flag.startswith("-mavx512")]
    return replace(form, flags=(*flags, "-mavx2", "-mfma"))
