"""A uniform sample of bounded size of all rows that go by."""

from __future__ import annotations

import torch
from torch import Tensor

from secondread.networks.precision import full_precision


def add_to_reservoir(bank: Tensor, seen: int, rows: Tensor, most: int) -> tuple[Tensor, int]:
    """The bank `[n, *D]` after rows `[m, *D]` went by, and how many rows have gone by by then.

    The bank grows to `most` rows; from then on each further row replaces a random one with the probability
    that keeps the sample uniform (J. S. Vitter, Random sampling with a reservoir, ACM Transactions on
    Mathematical Software 1985), drawn from a generator seeded by the number of rows seen. So neither
    batches nor processes change it. A full bank is changed in place.
    """
    room = most - len(bank)
    if room > 0:
        with full_precision(bank):  # where autocast is on, a CPU joins neither float16 nor float64 rows
            bank = torch.cat((bank, rows[:room]))
        seen += len(rows[:room])
        rows = rows[room:]
    for row in rows:
        seen += 1
        generator = torch.Generator().manual_seed(seen)
        place = int(torch.randint(seen, (), generator=generator))
        if place < len(bank):
            bank[place] = row
    return bank, seen
