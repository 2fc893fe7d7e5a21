"""Where tests write: in memory, where the system offers that and there is room. A run writes some 60,000
files and waits for the disk whenever a database commits; nothing of it has to outlive the machine."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import psutil

MEMORY = Path("/dev/shm")
ROOM = 8 << 30
"""Bytes that must be free, there and in memory: some six times as many as all tests leave."""


def write_in_memory() -> None:
    """For this process and those that it starts. A TMPDIR that is set stays."""
    if "TMPDIR" in os.environ or not _has_room(MEMORY):
        return
    os.environ["TMPDIR"] = str(MEMORY)
    tempfile.tempdir = None  # asked for again


def _has_room(folder: Path) -> bool:
    try:
        found = os.statvfs(folder)
    except OSError:
        return False
    runs_programs = not found.f_flag & os.ST_NOEXEC  # some tests compile one
    free = min(found.f_bavail * found.f_frsize, psutil.virtual_memory().available)
    return os.access(folder, os.W_OK) and runs_programs and free >= ROOM
