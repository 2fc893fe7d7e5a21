"""Functions that worker processes run in the pool's tests."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import numpy as np

from secondread.images.image import ImageError

_prepared = 0


def prepare(value: int) -> None:
    global _prepared
    _prepared = value


def act(item: object) -> object:
    """Do what the item says; a number is doubled."""
    if item == "hang":
        while True:
            pass
    if item == "exit":
        os._exit(3)
    if item == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if item == "grow":
        return len(bytearray(1 << 40))
    if item == "grow by array":
        return float(np.ones((1 << 31,)).sum())
    if item == "refuse":
        raise ImageError("some.dcm", "is bad", "mend it")
    if item == "raise":
        raise ValueError("two\nlines")
    if item == "prepared":
        return _prepared
    if item == "torch":
        return "torch" in sys.modules
    if item == "array":
        return np.arange(3_000_000)
    if item == "unsendable":
        return lambda: None
    if item == "noise":
        os.write(2, b"noise\n")
        return None
    assert isinstance(item, int)
    return 2 * item


def process(item: object) -> int:
    time.sleep(0.02)
    return os.getpid()


def mark_and_hang(folder: str) -> None:
    Path(folder, str(os.getpid())).touch()
    while True:
        pass
