"""Whether a generator or its critic has collapsed, from signs that need no label."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from secondread.detectors.blocks.reconstruction import symmetric
from secondread.detectors.contract import Batch
from secondread.networks.adversarial.losses import (
    Critic,
    between,
    slopes,
    told_fake,
    told_real,
    values_of,
)

MOST_IMAGES, FEWEST_IMAGES, MOST_PIXELS = 64, 8, 1 << 21
"""Held-out normals that the signs are taken from: fewer than the most where they would have more pixels."""
NARROW = 0.2
"""Of the normals' spread: below it, what is generated, or rebuilt, hardly differs from image to image."""
FLAT, STEEP = 0.01, 10.0
"""The critic's slope: below the one it leads the generator nowhere; a penalty wants 1, and above the other it
has no hold on it."""
UPSIDE_DOWN = 0.25
"""Share of pairs in which the critic prefers the held-out normal; below it, it takes those for generated."""
CERTAIN = 1e-3
"""Cross-entropy on both sides, below which a discriminator has won and the generator learns nothing."""

SIGNS = ("generated", "rebuilt", "real_accuracy", "fake_accuracy", "preferred", "slope", "entropy")


class CollapseSigns(nn.Module):
    """What is measured on held-out normals when a stage is done: figures for the log, a buffer, and warnings.

    generated      spread of what is generated / spread of the normals
    rebuilt        spread of the reconstructions / spread of the normals: near 0 where a reconstruction does
                   not depend on the image
    real_accuracy  share of the normals that the critic calls real, and `fake_accuracy` of generated ones
                   that it calls fake: of a discriminator with logits at 0, of a Wasserstein critic half-way
                   between the means of both
    preferred      share of pairs in which the critic puts the normal above the generated one; half where it
                   cannot tell them
    slope          mean norm of the critic's gradient, on the lines between normals and generated ones
    entropy        a discriminator's mean cross-entropy, the larger of both sides

    The spread is the mean distance between two of them (`spread`). What was not measured is nan.

    Args:
        wasserstein: a critic whose slope is held at 1, and not a discriminator with logits.
        fakes, reals: what is told apart, in the words of warnings and log.
    """

    found: Tensor

    def __init__(
        self, *, wasserstein: bool, fakes: str = "generated images", reals: str = "held-out normals"
    ) -> None:
        super().__init__()
        self.wasserstein, self.fakes, self.reals = wasserstein, fakes, reals
        self.register_buffer("found", torch.full((len(SIGNS),), math.nan))

    def __getitem__(self, sign: str) -> float:
        return float(self.found[SIGNS.index(sign)])

    def of_generated(self, fakes: Tensor, reals: Tensor) -> dict[str, float]:
        return self._note(generated=_ratio(fakes, reals))

    def of_rebuilt(self, rebuilt: Tensor, images: Tensor) -> dict[str, float]:
        return self._note(rebuilt=_ratio(rebuilt, images))

    def of_critic(self, real_values: Tensor, fake_values: Tensor, slopes: Tensor) -> dict[str, float]:
        """The critic's values of normals `[N]` and of generated ones `[M]`; the norms of its gradient."""
        real, fake = real_values.float(), fake_values.float()
        threshold = (real.mean() + fake.mean()) / 2 if self.wasserstein else real.new_zeros(())
        difference = real[:, None] - fake[None]
        preferred = (difference > 0).float().mean() + (difference == 0).float().mean() / 2
        return self._note(
            real_accuracy=float((real > threshold).float().mean()),
            fake_accuracy=float((fake < threshold).float().mean()),
            preferred=float(preferred),
            slope=float(slopes.float().mean()),
            entropy=math.nan if self.wasserstein else float(torch.maximum(told_real(real), told_fake(fake))),
        )

    def of_game(
        self, critic: Critic, reals: Tensor, fakes: Tensor, generator: torch.Generator
    ) -> dict[str, float]:
        """`of_critic` of the two that a critic is to tell apart, as many of each."""
        steep = slopes(critic, between(reals, fakes, generator))
        return self.of_critic(values_of(critic, reals), values_of(critic, fakes), steep)

    def warnings(self) -> tuple[str, ...]:
        told = []
        if self["generated"] < NARROW:
            told.append(
                f"the generator has collapsed: {self.fakes} differ from one another by "
                f"{self['generated']:.2f} of what {self.reals} do; train for longer, "
                "or with another learning rate or seed"
            )
        if self["rebuilt"] < NARROW:
            told.append(
                "the reconstruction hardly depends on the image: reconstructions differ from one another by "
                f"{self['rebuilt']:.2f} of what held-out normals do"
            )
        if self["slope"] < FLAT:
            told.append(
                f"the critic has collapsed: its gradient has a norm of {self['slope']:.2g}, so the generator "
                "learns nothing from it"
            )
        if self.wasserstein and self["slope"] > STEEP:
            told.append(
                f"the critic has left its bounds: its gradient has a norm of {self['slope']:.3g} where the "
                "penalty asks for 1; lower its learning rate or raise the penalty"
            )
        if self["preferred"] < UPSIDE_DOWN:
            told.append(
                f"the critic leads the wrong way: it puts {self.reals} above {self.fakes} in "
                f"{100 * self['preferred']:.0f} % of pairs only, as one does that has learned its training "
                "images by heart"
            )
        if self["entropy"] < CERTAIN:
            told.append(
                f"the discriminator has won: it tells {self.reals} from {self.fakes} with certainty "
                f"(cross-entropy {self['entropy']:.1g}), so the generator learns nothing from it"
            )
        return tuple(told)

    def _note(self, **signs: float) -> dict[str, float]:
        for sign, value in signs.items():
            self.found[SIGNS.index(sign)] = value
        words = {
            "generated": f"spread of {self.fakes} / of {self.reals}",
            "rebuilt": "spread of reconstructions / of held-out normals",
            "real_accuracy": f"critic's accuracy on {self.reals}",
            "fake_accuracy": f"critic's accuracy on {self.fakes}",
            "preferred": f"share of pairs in which the critic prefers {self.reals}",
            "slope": "norm of the critic's gradient",
            "entropy": "critic's larger cross-entropy",
        }
        return {words[sign]: value for sign, value in signs.items() if not math.isnan(value)}


def spread(x: Tensor) -> float:
    """Mean over pairs of the root mean square difference between two of `[N, …]`; nan for fewer than two."""
    flat = x.detach().float().flatten(1)
    if len(flat) < 2:
        return math.nan
    return float(torch.pdist(flat).mean()) / math.sqrt(flat.shape[1])


def held_out_images(held_out: Iterator[Batch]) -> Tensor:
    """Some of them, in [-1, 1]: at most 64, and fewer of large images, which pass the networks together."""
    kept: list[Tensor] = []
    most = MOST_IMAGES
    for batch in held_out:
        kept.append(symmetric(batch.images))
        most = min(MOST_IMAGES, max(FEWEST_IMAGES, MOST_PIXELS // kept[0][0].numel()))
        if sum(map(len, kept)) >= most:
            break
    return torch.cat(kept)[:most]


def _ratio(x: Tensor, of: Tensor) -> float:
    whole = spread(of)
    return spread(x) / whole if whole > 0 else math.nan
