"""A detector that learns from auxiliary images and from masks, as methods with pasted textures do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import torch
from stub_detectors import Stub, stage
from torch import Tensor, nn
from torch.nn import functional

from secondread.detectors.contract import Batch, Batches, ScoringNoise, Stage, Step

SIDE = 6


class PastedTextures(Stub):
    """A network that finds pasted squares of auxiliary textures in normals, and what the masks of the few
    abnormal images mark (as DRAEM has the one, and its semi-supervised followers the other)."""

    needs = frozenset({"normal", "abnormal", "auxiliary"})
    learns_from_masks = True
    training_stages: ClassVar = {"segmentation": stage(2, augment=("flip", "shift"))}

    def build(self, *, pretrained: bool) -> None:
        self.network = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ELU(), nn.Conv2d(4, 1, 3, padding=1))

    def stages(self) -> Iterator[Stage]:
        shares = {"normal": 0.5, "abnormal": 0.25, "auxiliary": 0.25}
        yield Stage("segmentation", shares, [Step((self.network,), self.loss)], validate="steps")

    def loss(self, batches: Batches, generator: torch.Generator) -> dict[str, Tensor]:
        pasted, where = paste(batches["normal"].images, batches["auxiliary"].images, generator)
        terms = {"pasted": functional.binary_cross_entropy_with_logits(self.network(pasted), where)}
        outlined = batches["abnormal"]
        if outlined.target is not None and outlined.has_target is not None:
            found, target = self.network(outlined.images), outlined.target
            known = outlined.has_target[:, None, None, None].expand_as(target)
            terms["outlined"] = functional.binary_cross_entropy_with_logits(
                found[known], target[known].float()
            )
        return terms

    def error(self, batch: Batch, noise: ScoringNoise) -> Tensor:
        return self.network(batch.images).sigmoid()


def paste(normals: Tensor, textures: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Normals with a square of a texture at a random place, and where it lies, `[N, 1, *S]` of 0 and 1."""
    where = torch.zeros_like(normals[:, :1])
    chosen = torch.randint(len(textures), (len(normals),), generator=generator)
    for mask in where:
        row, column = torch.randint(normals.shape[-1] - SIDE, (2,), generator=generator).tolist()
        mask[..., row : row + SIDE, column : column + SIDE] = 1
    return torch.where(where > 0, textures[chosen], normals), where


MASKED: dict[str, type[Stub]] = {"stub-pasted-textures": PastedTextures}
