"""What a detector says of images: parts and maps, how they are mixed, and the draws that it may take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor


@dataclass(frozen=True)
class ScoringNoise:
    """Randomness at scoring, one stream per image seeded from the image's digest.

    So an image's score does not depend on its batch. `normal((3, 4))` is `[N, 3, 4]`.

    >>> import secondread, torch
    >>> generators = [torch.Generator().manual_seed(seed) for seed in (1, 2)]
    >>> noise = secondread.ScoringNoise(generators)
    >>> noise.normal((3, 4)).shape
    torch.Size([2, 3, 4])
    """

    generators: Sequence[torch.Generator]
    device: torch.device | str = "cpu"

    def normal(self, shape: Sequence[int]) -> Tensor:
        return torch.stack([torch.randn(*shape, generator=g) for g in self.generators]).to(self.device)

    def uniform(self, shape: Sequence[int]) -> Tensor:
        return torch.stack([torch.rand(*shape, generator=g) for g in self.generators]).to(self.device)


@dataclass(frozen=True)
class Part:
    """One raw statistic per image, float32 `[N]`. `upper`: higher = more abnormal. `two`: far from
    the normals' median, either way, = more abnormal (calibration folds it).

    >>> import secondread, torch
    >>> secondread.Part(torch.tensor([0.5, 2.0]), tail="two").tail
    'two'
    """

    values: Tensor
    tail: Literal["upper", "two"] = "upper"


@dataclass(frozen=True)
class Mixture:
    """How parts (or map parts) become one number: the weighted sum, over `weights`, of the raw values
    (`scaled=False`, as papers have it) or of values standardised on validation normals. A part
    that is not named is reported and not mixed.

    >>> import secondread
    >>> secondread.Mixture({"likelihood": 0.5, "residual": 0.5}).scaled
    True
    """

    weights: Mapping[str, float]
    scaled: bool = True


@dataclass(frozen=True)
class Scores:
    """What a detector says of a batch: named parts, and named maps `[N, 1, *spatial]` on the grid of
    the batch (higher = more abnormal) or none.

    >>> import secondread, torch
    >>> part = secondread.Part(torch.zeros(2))
    >>> found = secondread.Scores({"residual": part}, {"residual": torch.zeros(2, 1, 4, 4)})
    >>> list(found.parts), list(found.maps)
    (['residual'], ['residual'])
    """

    parts: Mapping[str, Part]
    maps: Mapping[str, Tensor] = field(default_factory=dict)
