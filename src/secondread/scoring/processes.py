"""The processes of one fit, as `torchrun` numbers them. No torch here."""

from __future__ import annotations

import os


def process_rank() -> int:
    """This process's number under `torchrun`, 0 without it. Only process 0 writes results."""
    return int(os.environ.get("RANK", "0"))


def process_count() -> int:
    return int(os.environ.get("WORLD_SIZE", "1"))
