"""Feature maps centred, scaled and projected by what normals show, in closed form and one pass."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from secondread.networks.position_gaussians import PositionGaussians
from secondread.networks.precision import full_precision

FLOOR = 0.01
"""Added to every variance, as a share of the mean variance of the channels: a channel that is constant
among normals must not decide alone."""


class FeatureNormalisation(nn.Module):
    """h `[N, C, *S]` to W (h - m) / s, `[N, K, *S]`, with m, W and s from normals.

    standardise  "channel": one m and s per channel. "position": m per channel and position; s as well
                 where there is no projection, so that each place is compared with the same place.
                 "whiten": W (h_p - m_p) at each position p, with W the inverse Cholesky factor of the
                 covariance there plus `regularisation`, so that a flow that does nothing scores
                 PaDiM's squared distance. "none": m = 0, s = 1
    projection   K, or None for W = 1 and K = C
    kind         "pca": the K directions of largest variance (about m, so within positions where m is
                 per position), each scaled to unit variance; "random": K random orthonormal
                 directions, drawn in `fit`

    Everything fitted is a buffer. Variances get `FLOOR` added.
    """

    def __init__(
        self,
        channels: int,
        size: Sequence[int],
        *,
        standardise: Literal["none", "channel", "position", "whiten"] = "none",
        projection: int | None = None,
        kind: Literal["pca", "random"] = "pca",
        regularisation: float = 0.01,
    ) -> None:
        super().__init__()
        if projection is not None and standardise == "whiten":
            raise ValueError("features are either projected or whitened at each position")
        if projection is not None and not 2 <= projection <= channels:
            raise ValueError(
                f"a projection of {channels} channels has 2 to {channels} directions, not {projection}"
            )
        self.size = tuple(size)
        self.standardise = standardise
        self.kind = kind
        self.channels = channels if projection is None else projection
        self.gaussians = (
            PositionGaussians(torch.Size(self.size).numel(), channels, regularisation)
            if standardise == "whiten"
            else None
        )
        ones = (1,) * len(self.size)
        by_place = self.size if standardise == "position" else ones
        self.mean: Tensor
        self.scale: Tensor
        self.matrix: Tensor | None
        self.register_buffer("mean", torch.zeros(channels, *by_place))
        self.register_buffer("scale", torch.ones(self.channels, *(ones if projection else by_place)))
        self.register_buffer("matrix", None if projection is None else torch.eye(projection, channels))

    @property
    def needs_fit(self) -> bool:
        return self.standardise != "none" or self.matrix is not None

    def forward(self, h: Tensor) -> Tensor:
        if not self.needs_fit:
            return h.float()
        if self.gaussians is not None:
            whitened = self.gaussians(h.flatten(2).permute(2, 0, 1))
            return whitened.permute(1, 2, 0).unflatten(2, self.size)
        with full_precision(h):
            h = h.float() - self.mean
            if self.matrix is not None:
                h = torch.einsum("kc,nc...->nk...", self.matrix, h)
            return h / self.scale

    @torch.no_grad()
    def fit(self, maps: Iterable[tuple[Tensor, Tensor | None]], generator: torch.Generator) -> None:
        """Moments of feature maps `[N, C, *S]`, each with its valid positions `[N, 1, *S]` or None.

        Whitening takes padded positions like any other.
        """
        if self.gaussians is not None:
            for h, _ in maps:
                self.gaussians.collect(h.flatten(2).permute(2, 0, 1))
            self.gaussians.finish()
            return
        count, first, second, outer = _moments(maps)
        total = count.sum()
        centre = first.sum(dim=1, keepdim=True) / total
        if self.standardise == "position":
            mean = torch.where(count > 0, first / count.clamp_min(1), centre)
        else:
            mean = centre.expand_as(first)
        used = mean if self.standardise != "none" else torch.zeros_like(mean)
        # E[(h - u)(h - u)^T], with E over valid positions of all images
        cross = first @ used.T
        covariance = (outer - cross - cross.T + (used * count) @ used.T) / total
        floor = FLOOR * covariance.diagonal().mean().clamp_min(1e-12)
        if self.standardise != "none":
            self.mean.copy_(
                mean.view(-1, *self.size) if self.standardise == "position" else centre.view_as(self.mean)
            )
        if self.matrix is not None:
            self.matrix.copy_(self._directions(covariance, generator))
            matrix = self.matrix.double()
            self.scale.copy_(
                (torch.einsum("kc,cd,kd->k", matrix, covariance, matrix) + floor).sqrt().view_as(self.scale)
            )
        elif self.standardise == "channel":
            self.scale.copy_((covariance.diagonal() + floor).sqrt().view_as(self.scale))
        elif self.standardise == "position":
            variance = (second / count.clamp_min(1) - mean.square()).clamp_min(0)
            variance = torch.where(count > 1, variance, covariance.diagonal()[:, None])
            self.scale.copy_((variance + floor).sqrt().view_as(self.scale))

    def _directions(self, covariance: Tensor, generator: torch.Generator) -> Tensor:
        if self.kind == "pca":
            vectors = torch.linalg.eigh(covariance)[1].flip(1)[:, : self.channels].T
            sign = vectors.gather(1, vectors.abs().argmax(dim=1, keepdim=True)).sign()
            return vectors * sign
        shape = (covariance.shape[0], self.channels)
        noise = torch.randn(*shape, generator=generator, device=generator.device).to(covariance)
        return torch.linalg.qr(noise)[0].T


def _moments(maps: Iterable[tuple[Tensor, Tensor | None]]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Over images: count `[P]`, sum and sum of squares `[C, P]`, and sum of h h^T over places, `[C, C]`."""
    sums: tuple[Tensor, Tensor, Tensor, Tensor] | None = None
    for h, valid in maps:
        h = h.float().flatten(2)
        weight = torch.ones_like(h[:, :1]) if valid is None else valid.flatten(2).to(h)
        kept = (h * weight).double()
        rows = (h * weight).transpose(0, 1).flatten(1)
        new = (
            weight.double().sum(dim=(0, 1)),
            kept.sum(dim=0),
            kept.square().sum(dim=0),
            (rows @ rows.T).double(),
        )
        sums = (
            new if sums is None else (sums[0] + new[0], sums[1] + new[1], sums[2] + new[2], sums[3] + new[3])
        )
    if sums is None:
        raise ValueError("feature statistics need at least one image")
    return sums
