"""A compiled library, opened."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path

from secondread.networks.native.build import Kernel
from secondread.networks.native.forms import Form


def opened(library: Path, call: type[ctypes.Structure]) -> ctypes.CDLL:
    """The library, whose description of a call is that of Python. OSError where it is not, or cannot be
    loaded."""
    found = ctypes.CDLL(str(library))
    found.secondread_call_size.restype = ctypes.c_int64
    if found.secondread_call_size() != ctypes.sizeof(call):
        raise OSError(f"{library} is of another version")
    return found


def lanes_and_widest(found: ctypes.CDLL) -> tuple[int, int]:
    """Numbers in a vector, and the most vectors in a group of channels, by which Python orders weights."""
    for size in (found.secondread_lanes, found.secondread_widest):
        size.restype = ctypes.c_int64
    return found.secondread_lanes(), found.secondread_widest()


def for_any_form(kernel: Callable[[Path], Kernel]) -> Callable[[Form, Path], Kernel]:
    """`Code.load`, where all forms have the same functions."""
    return lambda _form, library: kernel(library)
