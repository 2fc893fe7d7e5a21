"""Spectrum: how unusual an image's energies are, band by band of spatial frequency."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from secondread.detectors.blocks.valid_positions import mean_over
from secondread.detectors.contract import Batch, Batches, Detector, Scores, ScoringNoise, Stage, Tiny
from secondread.detectors.detector_settings import DetectorSettings, StageSettings
from secondread.settings.base import Width

FLOOR = 1e-10
"""Added to every band's energy, so that the logarithm of a constant image is finite."""


class SpectrumSettings(DetectorSettings):
    name: Literal["spectrum"] = "spectrum"
    bands: Width = Field(16, description="radial bands up to half a cycle per pixel")


class Spectrum(Detector):
    """score = Mahalanobis distance of e(x) from the normals', with e the log energies of radial bands.

        e_k = log(floor + mean of |FFT(x - mean x)|^2 / positions, over k <= 2 B |frequency| < k + 1)

    Channels are averaged first; padding is set to the image's mean. Bands are equally wide, up to 0.5
    cycles per pixel; corners beyond that join the last. The covariance gets 1e-3 of its mean variance
    added to its diagonal. Moments are collected in float64 in one pass.
    """

    Settings = SpectrumSettings
    settings: SpectrumSettings
    ranks = frozenset({2, 3})
    part = "distance"

    def build(self, *, pretrained: bool) -> None:
        settings = self.settings
        bands = max(1, min(settings.bands, min(self.size) // 2))
        self.order: Tensor
        self.positions: Tensor
        self.counts: Tensor
        self.mean: Tensor
        self.whitener: Tensor
        self.moments: Tensor
        order, self.widths, positions = _bands(self.size, bands)
        self.register_buffer("order", order, persistent=False)
        self.register_buffer("positions", positions, persistent=False)
        # of a real image, the coefficients that rfftn leaves out mirror those that it gives
        counts = torch.ones(self.size[-1] // 2 + 1)
        counts[1 : (self.size[-1] + 1) // 2] = 2
        self.register_buffer("counts", counts, persistent=False)
        self.register_buffer("mean", torch.zeros(bands))
        self.register_buffer("whitener", torch.eye(bands))
        self.register_buffer("moments", torch.zeros(bands + 1, bands + 1, dtype=torch.float64))

    def stages(self) -> Iterator[Stage]:
        yield Stage("moments", {"normal": 1.0}, collect=self.collect, finish=self.finish)

    def collect(self, batches: Batches) -> None:
        """Add up (1, e)(1, e)^T: count, sums and products in one matrix."""
        energies = self._log_energies(batches["normal"]).double()
        rows = torch.cat((torch.ones_like(energies[:, :1]), energies), dim=1)
        self.moments += rows.T @ rows

    def finish(self) -> None:
        moments = self.moments / self.moments[0, 0]
        mean = moments[0, 1:]
        covariance = moments[1:, 1:] - torch.outer(mean, mean)
        floor = 1e-3 * covariance.diagonal().mean().clamp_min(1e-6)
        factor = torch.linalg.cholesky(covariance + floor * torch.eye(len(mean)).to(covariance))
        self.mean.copy_(mean)
        self.whitener.copy_(torch.linalg.inv(factor))
        self.moments.zero_()

    def score(self, batch: Batch, noise: ScoringNoise, *, maps: bool) -> Scores:
        centred = self._log_energies(batch) - self.mean
        whitened = (centred[:, None, :] * self.whitener).sum(dim=-1)
        return self.one_part(whitened.square().sum(dim=1).sqrt())

    @classmethod
    def tiny(cls, rank: int) -> Tiny:
        return Tiny(
            SpectrumSettings(bands=4), 1, (16,) * rank, {"moments": StageSettings(epochs=1, batch_size=4)}
        )

    def _log_energies(self, batch: Batch) -> Tensor:
        """`[N, bands]` float32."""
        images = batch.images.float().mean(dim=1)
        mean = mean_over(batch.images, batch.valid).view(-1, *[1] * len(self.size))
        centred = images - mean
        if batch.valid is not None:
            centred = centred * batch.valid[:, 0]
        spectrum = torch.view_as_real(torch.fft.rfftn(centred, dim=tuple(range(1, centred.dim()))))
        power = spectrum.square().sum(dim=-1).mul_(self.counts)
        sorted_power = power.flatten(1)[:, self.order]
        energy = torch.stack([part.sum(dim=1) for part in sorted_power.split(self.widths, dim=1)], 1)
        return (energy / self.positions + FLOOR).log()


def _bands(size: tuple[int, ...], bands: int) -> tuple[Tensor, list[int], Tensor]:
    """The order that brings the coefficients which rfftn gives from band to band, how many of them each band
    has, and the squared number of positions by which a band's sum becomes its mean energy."""
    if torch.get_default_device().type == "meta":  # see networks.on_meta.shapes_only
        length = math.prod(size[:-1]) * (size[-1] // 2 + 1)
        nothing = torch.empty(bands, dtype=torch.long)
        return torch.empty(length, dtype=torch.long), [length, *[0] * (bands - 1)], nothing
    axes = [torch.fft.fftfreq(length) for length in size]
    radius = torch.stack(torch.meshgrid(*axes, indexing="ij")).square().sum(dim=0).sqrt()
    band = (radius * 2 * bands).long().clamp_max(bands - 1)
    half = band[..., : size[-1] // 2 + 1].flatten()
    positions = torch.bincount(band.flatten(), minlength=bands).clamp_min(1) * band.numel()
    return half.argsort(stable=True), half.bincount(minlength=bands).tolist(), positions
