"""The teachers of patches in a bundle's tensors: how they are built. Nothing else is believed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from secondread.errors import UserError
from secondread.networks.distillation.patch_network import LAYERS, POOL, PatchSide
from secondread.networks.learnt.bundle_files import MODEL, read_document, read_forms

PLACE = re.compile(r"teachers\.networks\.(\d+)\.steps\.(\d+)\.weight")


@dataclass(frozen=True)
class TeachersForm:
    """How the teachers of a bundle are built, as the shapes of their tensors say.

    digest   SHA-256 of `bundle.json`, which names the digests of all else
    patches  sides, in the bundle's order
    rank, channels, width, descriptor  of `PatchNetwork`, the same of all
    """

    digest: str
    patches: tuple[PatchSide, ...]
    rank: int
    channels: int
    width: int
    descriptor: int

    @classmethod
    def read(cls, folder: Path) -> Self:
        """`UserError` where there is no bundle, or none with such teachers."""
        _, digest = read_document(folder)
        kernels: dict[int, dict[int, tuple[int, ...]]] = {}
        for name, form in read_forms(folder).items():
            if (match := PLACE.fullmatch(name)) and len(form.shape) in (4, 5):
                network, step = map(int, match.groups())
                kernels.setdefault(network, {})[step] = form.shape
        sides = [_side_of(kernels.get(number, {})) for number in range(len(kernels))]
        found = tuple(side for side in sides if side is not None)
        if not found or len(found) < len(sides):
            raise UserError(
                f"{folder / MODEL}: its detector has no teachers of patches; make some with "
                "`secondread fit uninformed-students`"
            )
        first, last = kernels[0][0], kernels[0][max(kernels[0])]
        return cls(digest, found, len(first) - 2, first[1], first[0], last[0])


def _side_of(shapes: dict[int, tuple[int, ...]]) -> PatchSide | None:
    """Of the patches that a network with these convolutions describes, each `[out, in, *kernel]`."""
    sides: tuple[PatchSide, ...] = (17, 33, 65)
    found = {step: shape[-1] for step, shape in shapes.items()}
    for side in sides:
        own = {step: layer[0] for step, layer in enumerate(LAYERS[side]) if layer != POOL}
        if own == found:
            return side
    return None
