"""One seed for every place that draws: a hash of the fit's seed and of where the draw happens.

So a resumed fit needs no generator state: step 17 of epoch 3 draws the same whatever ran before.
"""

from __future__ import annotations

import hashlib

import torch


def derive_seed(*where: int | str) -> int:
    """A seed in `[0, 2**63)` for e.g. `(seed, stage, epoch, step)`."""
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in where)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def seeded_generator(*where: int | str) -> torch.Generator:
    """A CPU generator seeded with `derive_seed(*where)`: the same draws on every device."""
    return torch.Generator().manual_seed(derive_seed(*where))


def seed_layers(device: torch.device, *where: int | str) -> None:
    """`derive_seed(*where)` for torch's own generators, from which layers such as dropout draw: that of the
    processor, and those of all GPUs where the fit is on one.

    `torch.manual_seed` alone would do, but for GPUs that nobody has asked for anything yet it writes down the
    call's whole stack, which takes longer than a small network's step.
    """
    seed = derive_seed(*where)
    if device.type == "cpu":
        torch.default_generator.manual_seed(seed)
    else:
        torch.manual_seed(seed)
