"""The residual encoder in a bundle's tensors: how it is built. Nothing else is believed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from torch import nn

from secondread.errors import UserError
from secondread.networks.learnt.bundle_files import MODEL, fill, read_document, read_forms
from secondread.networks.weights.find import WeightsFile

PLACE = "encoder."
"""Before the names of its tensors: detectors call the encoder so that they train."""
BLOCK = re.compile(r"levels\.(layer[1-4])\.(\d+)\.")


@dataclass(frozen=True)
class LearntForm:
    """How the encoder of a bundle is built, as the shapes of its tensors say.

    digest  SHA-256 of `bundle.json`, which names the digests of all else
    rank, channels, width, blocks, layers  of `networks.encoders.residual`; the layers are all that it has
    """

    digest: str
    rank: int
    channels: int
    width: int
    blocks: int
    layers: tuple[str, ...]

    @classmethod
    def read(cls, folder: Path) -> Self:
        """`UserError` where there is no bundle, or none with such an encoder."""
        _, digest = read_document(folder)
        forms = read_forms(folder)
        own = {name.removeprefix(PLACE): form for name, form in forms.items() if name.startswith(PLACE)}
        stem = own.get("stem.weight")
        found = [match.groups() for match in map(BLOCK.match, own) if match]
        if stem is not None and len(stem.shape) in (4, 5) and found:
            width, channels, *kernel = stem.shape
            layers = tuple(sorted({layer for layer, _ in found}))
            blocks = 1 + max(int(number) for _, number in found)
            return cls(digest, len(kernel), channels, width, blocks, layers)
        raise UserError(
            f"{folder / MODEL}: its detector has learned no encoder of the kind residual; learn one with "
            "`secondread fit one-class-contrastive`, or with another detector whose encoder is residual"
        )

    def load(self, folder: Path, encoder: nn.Module, layers: Sequence[str]) -> WeightsFile:
        """Fills an encoder that has `layers` from the bundle, whose layers behind them are left out."""
        return fill(
            folder,
            encoder,
            {f"{PLACE}{name}": name for name in encoder.state_dict()},
            f"its encoder has learned up to {self.layers[-1]}, and {', '.join(layers)} "
            f"{'is' if len(layers) == 1 else 'are'} wanted",
        )
