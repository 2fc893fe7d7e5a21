"""Feature maps compressed, standardised and projected by what normals show, in closed form and one pass."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from secondread.estimators.compiled_normalisation import compiled_normalisation
from secondread.networks.precision import full_precision

FLOOR = 0.05
"""Added to every standard deviation, as a share of their root mean square: a channel that is constant
among normals must not decide alone."""
MAPS_FOR_DIRECTIONS = 256
"""Directions are found on the first so many images, which a fit draws at random."""


class FeatureNormalisation(nn.Module):
    """h `[N, C, *S]` to P ((g(h) - m) / s) / r, `[N, K, *S]`, with m, s, P and r from normals.

    compress     g(h) = sign(h) log(1 + |h|): rectified features are mostly zero with a long tail;
                 False = the identity
    standardise  "scale": m = 0 and one s for all, the root mean square of g(h), so that features of any
                 encoder are of the order of one. "channel": one m and s per channel. "position": m and s
                 per channel and position, so that each place is compared with the same place. "centre": m
                 per channel and position, s per channel, the spread around those m. "none": m = 0, s = 1
    projection   K, or None for P = 1 and K = C
    kind         "pca": the K directions of largest mean square of the standardised features, r its roots;
                 these are variances but where m = 0 ("none", "scale"): then the first direction is near that
                 of the features' mean. "random": K random orthonormal directions, drawn in `fit`; r = 1

    To each s of "channel", "position" and "centre" and to each r, `FLOOR` of their root mean square is added.

    Everything fitted is a buffer.
    """

    def __init__(
        self,
        channels: int,
        size: Sequence[int],
        *,
        compress: bool = False,
        standardise: Literal["none", "scale", "channel", "position", "centre"] = "none",
        projection: int | None = None,
        kind: Literal["pca", "random"] = "pca",
    ) -> None:
        super().__init__()
        if projection is not None and not 2 <= projection <= channels:
            raise ValueError(
                f"a projection of {channels} channels has 2 to {channels} directions, not {projection}"
            )
        self.size = tuple(size)
        self.compress = compress
        self.standardise = standardise
        self.kind = kind
        self.channels = channels if projection is None else projection
        once = (1,) * len(self.size)
        self.mean: Tensor
        self.scale: Tensor
        self.matrix: Tensor | None
        mean_at = self.size if standardise in ("position", "centre") else once
        scale_at = self.size if standardise == "position" else once
        self.register_buffer("mean", torch.zeros(channels, *mean_at))
        self.register_buffer("scale", torch.ones(channels, *scale_at))
        self.register_buffer("matrix", None if projection is None else torch.eye(projection, channels))
        self._sums: list[Tensor] = []
        self._kept: list[tuple[Tensor, Tensor]] = []
        self._seen = 0

    @property
    def needs_fit(self) -> bool:
        return self.standardise != "none" or self.matrix is not None

    def forward(self, h: Tensor) -> Tensor:
        if self.matrix is not None:
            found = compiled_normalisation(
                h, self, self.mean, self.scale, self.matrix, compress=self.compress
            )
            if found is not None:
                return found
        h = self._compressed(h)
        if not self.needs_fit:
            return h
        with full_precision(h):
            rows = h.movedim(1, -1) - self.mean.movedim(0, -1).contiguous()
            rows = rows / self.scale.movedim(0, -1).contiguous()
            return (rows if self.matrix is None else nn.functional.linear(rows, self.matrix)).movedim(-1, 1)

    def fit(self, maps: Iterable[tuple[Tensor, Tensor | None]], generator: torch.Generator) -> None:
        """From feature maps `[N, C, *S]`, each with its valid positions `[N, 1, *S]` or None."""
        self._forget()
        for h, valid in maps:
            self.collect(h, valid)
        self.finish(generator)

    @torch.no_grad()
    def collect(self, h: Tensor, valid: Tensor | None) -> None:
        """Take maps of one batch into the sums that `finish` needs."""
        h = self._compressed(h)
        weight = torch.ones_like(h[:, :1]) if valid is None else valid.to(h)
        weighted = (h * weight).double()
        new = [weight.double().sum(dim=0), weighted.sum(dim=0), (weighted * h).sum(dim=0)]
        self._sums = [a + b for a, b in zip(self._sums, new, strict=True)] if self._sums else new
        if self.matrix is not None and self._seen < MAPS_FOR_DIRECTIONS:
            self._kept.append((h.half(), weight.half()))
        self._seen += len(h)

    @torch.no_grad()
    def finish(self, generator: torch.Generator) -> None:
        """Set the buffers from what has been collected, and forget it. ValueError where that is nothing."""
        if not self._sums:
            raise ValueError("feature statistics need at least one image")
        self._fit_scale(*self._sums)
        if self.matrix is not None:
            self.matrix.copy_(self._directions(self._kept, generator))
        self._forget()

    def _forget(self) -> None:
        self._sums, self._kept, self._seen = [], [], 0

    def _compressed(self, h: Tensor) -> Tensor:
        h = h.float()
        return h.abs().log1p().copysign(h) if self.compress else h

    def _fit_scale(self, count: Tensor, first: Tensor, second: Tensor) -> None:
        places = tuple(range(1, 1 + len(self.size)))
        total, everywhere = count.sum(), first.sum(dim=places, keepdim=True)
        if self.standardise == "none":
            return
        if self.standardise == "scale":
            square = second.sum() / (total * len(second))
            self.scale.fill_(float(square.sqrt().clamp_min(1e-6)))
            return
        mean = everywhere / total
        variance = second.sum(dim=places, keepdim=True) / total - mean.square()
        if self.standardise in ("position", "centre"):
            own = first / count.clamp_min(1)
            spread = second / count.clamp_min(1) - own.square()
            mean = torch.where(count > 0, own, mean)
            if self.standardise == "centre":
                variance = (count * spread).sum(dim=places, keepdim=True) / total
            else:
                variance = torch.where(count > 1, spread, variance)
        deviation = variance.clamp_min(0).sqrt()
        floor = FLOOR * variance.clamp_min(0).mean().sqrt().clamp_min(1e-6)
        self.mean.copy_(mean)
        self.scale.copy_(deviation + floor)

    def _directions(self, kept: Sequence[tuple[Tensor, Tensor]], generator: torch.Generator) -> Tensor:
        if self.kind == "random":
            shape = (self.mean.shape[0], self.channels)
            noise = torch.randn(*shape, generator=generator, device=generator.device).double()
            return torch.linalg.qr(noise)[0].T
        outer = torch.zeros(self.mean.shape[0], self.mean.shape[0], dtype=torch.float64)
        total = 0.0
        with full_precision(self.mean):
            for h, weight in kept:
                rows = ((h.float() - self.mean) / self.scale * weight).transpose(0, 1).flatten(1)
                outer += (rows @ rows.T).double().cpu()
                total += float(weight.sum(dtype=torch.float64))
        values, vectors = torch.linalg.eigh(outer / total)
        values, vectors = values.flip(0)[: self.channels], vectors.flip(1)[:, : self.channels].T
        sign = vectors.gather(1, vectors.abs().argmax(dim=1, keepdim=True)).sign()
        deviation = values.clamp_min(0).sqrt()
        return vectors * sign / (deviation + FLOOR * values.mean().sqrt().clamp_min(1e-6))[:, None]
