"""GMVAE with restoration: a mixture of Gaussians as the prior, and images changed until they are likely."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from secondread.detectors.blocks.reconstruction import Residual, one_sided, refuse_one_image
from secondread.detectors.blocks.valid_positions import mean_over
from secondread.detectors.blocks.variational.mixture_energy import (
    choice_divergence,
    component_log_probabilities,
    conditional_divergence,
)
from secondread.detectors.blocks.variational.networks import has_batch_statistics
from secondread.detectors.blocks.variational.normal_divergence import normal_divergence
from secondread.detectors.blocks.variational.restoration import (
    RestorationSettings,
    choose_weight,
    first_weight,
    refuse_maps,
    restored,
)
from secondread.detectors.contract import (
    Batch,
    Batches,
    Detector,
    Mixture,
    Part,
    Scores,
    ScoringNoise,
    Stage,
    Step,
    Tiny,
)
from secondread.detectors.detector_settings import DetectorSettings, StageSettings
from secondread.networks.precision import full_precision
from secondread.networks.variational.gaussian_mixture import (
    DenseMixtureNetwork,
    SpatialMixtureNetwork,
    start_at,
)
from secondread.settings.base import Settings, Width

START = 0.1
"""The components' log inverse variance at first (You et al.)."""


class SpatialMixtureSettings(Settings):
    """See `networks.variational.gaussian_mixture`."""

    kind: Literal["spatial"] = "spatial"
    width: Width = 64
    dims_z: Width = 1
    dims_w: Width = 1


class DenseMixtureSettings(Settings):
    """See `networks.variational.gaussian_mixture`."""

    kind: Literal["dense"] = "dense"
    width: Width = 16
    hidden: Width = 1024
    dims_z: Width = 16
    dims_w: Width = 4


class GMVAESettings(DetectorSettings):
    name: Literal["gmvae"] = "gmvae"
    network: Annotated[SpatialMixtureSettings | DenseMixtureSettings, Field(discriminator="kind")] = (
        SpatialMixtureSettings()
    )
    components: int = Field(6, ge=2, le=1_000)
    dropout: float = Field(0.1, ge=0, lt=1, description="before the latent variables, in training")
    free_choice: float = Field(
        1.0, ge=0, description="nats at each place that the choice of a component costs at least"
    )
    residual: Residual = "both"
    score: Literal["restoration", "reconstruction", "bound"] = "restoration"
    maps: Annotated[tuple[Literal["restoration", "reconstruction"], ...], Field(min_length=1)] = Field(
        ("restoration",), description="which are computed; the first one is the map"
    )
    restoration: RestorationSettings = RestorationSettings()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        refuse_maps(self.maps, self.score)
        return self


class GMVAE(Detector):
    """A variational autoencoder with latent variables

        w ~ N(0, I),  c ~ uniform over K,  z | w, c ~ N(m_c(w), s_c(w)²),  x' = decoder(z)

    and q(z | x), q(w | x) Gaussians of one encoder. With p_c = p(c | z, w), which
    `blocks.variational.mixture_energy` derives, the loss of an image in [0, 1] is

        sum |x - x'| + sum_c p_c KL(q(z|x) || p(z|w,c)) + KL(q(w|x) || N(0, I)) + max(f, sum_c p_c log(K p_c))

    the last three summed over places, with f = `free_choice`. `network: spatial` has maps of z and w at a
    quarter of the size, and a component at each place; `dense` has vectors, and a component for the image.
    z and w are drawn in training and are their means at scoring.

    Parts: `restoration`, the mean of its map, where that is asked for; `reconstruction` = mean |x - x'|;
    `bound`, the loss of the image. Maps: `restoration` = |x - T(x)| with T(x) the image after gradient steps
    on the loss and a total variation (`blocks.variational.restoration`), whose weight is given or chosen on
    held-out normals; `reconstruction` = |x - x'|. Each step takes a pass forward and one back.

    Stage `reconstruction`. Images are clipped to [0, 1].

    Sources: S. You, K. C. Tezcan, X. Chen, E. Konukoglu, Unsupervised lesion detection via image restoration
    with a normative prior, MIDL 2019; N. Dilokthanakul et al., Deep unsupervised clustering with Gaussian
    mixture variational autoencoders, 2016; loss and restoration as in C. Baur et al., Medical Image Analysis
    2021, whose code has neither the sign nor the factor of the log-variance in the mixture's density.
    """

    Settings = GMVAESettings
    settings: GMVAESettings
    ranks = frozenset({2, 3})

    def build(self, *, pretrained: bool) -> None:
        settings, rank = self.settings, len(self.size)
        of_the_network = settings.network.model_dump(exclude={"kind"}) | {
            "components": settings.components,
            "dropout": settings.dropout,
        }
        kind = SpatialMixtureNetwork if settings.network.kind == "spatial" else DenseMixtureNetwork
        self.network: SpatialMixtureNetwork | DenseMixtureNetwork = kind(
            rank, self.channels, self.size, **of_the_network
        )
        start_at(self.network, START)
        self.weight: Tensor | None
        self.register_buffer("weight", first_weight(settings.maps, settings.restoration))
        self.costly_scoring = self.gradients_at_scoring = "restoration" in settings.maps

    def stages(self) -> Iterator[Stage]:
        chosen = self.weight is not None and self.settings.restoration.weight is None
        yield Stage(
            "reconstruction",
            {"normal": 1.0},
            [Step((self.network,), self.loss, name="reconstruction")],
            validate="steps",
            examine=self.examine if chosen else None,
        )

    def loss(self, batches: Batches, generator: torch.Generator) -> dict[str, Tensor]:
        batch = batches["normal"]
        if has_batch_statistics(self.network):
            refuse_one_image(self, len(batch))
        terms, _ = self.terms(batch.images.float().clamp(0, 1), batch.valid, generator)
        return {name: values.mean() for name, values in terms.items()}

    def terms(
        self, x: Tensor, valid: Tensor | None, generator: torch.Generator | None = None
    ) -> tuple[dict[str, Tensor], Tensor]:
        """Each term of the loss, `[N]`, and what is rebuilt; with a generator z and w are drawn."""
        network = self.network
        z_mean, z_log_variance, w_mean, w_log_variance = network.encode(x)
        z, w = (
            mean if generator is None else _drawn(mean, log_variance, generator)
            for mean, log_variance in ((z_mean, z_log_variance), (w_mean, w_log_variance))
        )
        rebuilt = network.decode(z).float()
        mean, log_precision = network.prior(w)
        chosen = component_log_probabilities(z, mean, log_precision)
        error = (x - rebuilt).abs()
        places = {
            "reconstruction": error if valid is None else error * valid,
            "z": conditional_divergence(z_mean, z_log_variance, mean, log_precision, chosen),
            "w": normal_divergence(w_mean, w_log_variance).sum(dim=1),
            "c": choice_divergence(chosen).clamp_min(self.settings.free_choice),
        }
        return {name: values.flatten(1).sum(dim=1) for name, values in places.items()}, rebuilt

    def bound(self, x: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor]:
        """The loss of each image without noise, `[N]`, and what is rebuilt."""
        terms, rebuilt = self.terms(x, valid)
        return torch.stack(list(terms.values())).sum(dim=0), rebuilt

    def why_no_graph(self) -> str | None:
        return "restores each image by gradient steps" if "restoration" in self.settings.maps else None

    def score(self, batch: Batch, noise: ScoringNoise, *, maps: bool) -> Scores:
        x = batch.images.float().clamp(0, 1)
        with full_precision(x):
            bound, rebuilt = self.bound(x, batch.valid)
            shown = {"reconstruction": self.distance(x, rebuilt)}
            if self.weight is not None:
                target = restored(x, batch.valid, self.bound, self.settings.restoration, float(self.weight))
                shown["restoration"] = self.distance(x, target)
        parts = {name: Part(mean_over(values, batch.valid)) for name, values in shown.items()}
        asked = set(self.settings.maps) if maps else set()
        return Scores({**parts, "bound": Part(bound)}, {name: shown[name] for name in shown if name in asked})

    def distance(self, x: Tensor, target: Tensor) -> Tensor:
        """|x - target|, mean over channels, of the side that counts: `[N, 1, *size]`."""
        return (one_sided(x, target, self.settings.residual) - target).abs().mean(dim=1, keepdim=True)

    def examine(self, held_out: Iterator[Batch], generator: torch.Generator) -> dict[str, float]:
        """The weight of the total variation that changes held-out normals least."""
        assert self.weight is not None
        images = ((batch.images.float().clamp(0, 1), batch.valid) for batch in held_out)
        with full_precision(self.weight):
            return choose_weight(self.weight, images, self.bound, self.settings.restoration)

    def mixture(self) -> Mixture:
        return Mixture({self.settings.score: 1.0}, scaled=False)

    def map_mixture(self) -> Mixture | None:
        return Mixture({self.settings.maps[0]: 1.0}, scaled=False)

    @torch.no_grad()
    def sample(self, n: int, generator: torch.Generator, *, temperature: float = 1.0) -> Tensor:
        """Images `[n, C, *size]` in [0, 1] of w, c and z drawn from the prior (`contract.Generative`)."""
        network, device = self.network, next(self.parameters()).device
        dims_z, dims_w = network.dims
        w = temperature * torch.randn(n, dims_w, *network.grid, generator=generator)
        components = self.settings.components
        c = (torch.rand(n, 1, 1, *network.grid, generator=generator) * components).long()
        noise = temperature * torch.randn(n, dims_z, *network.grid, generator=generator)
        with full_precision(w):
            mean, log_precision = network.prior(w.to(device))
            at = c.clamp_max(components - 1).to(device).expand(-1, -1, dims_z, *network.grid)
            mean, log_precision = mean.gather(1, at)[:, 0], log_precision.gather(1, at)[:, 0]
            return network.decode(mean + noise.to(device) * (-0.5 * log_precision).exp()).float().clamp(0, 1)

    @torch.no_grad()
    def interpolate(self, first: Tensor, second: Tensor, steps: int) -> Tensor:
        """Images `[steps, C, *size]` along the line between the means of z of two images `[C, *size]`."""
        x = torch.stack((first, second)).float().clamp(0, 1)
        with full_precision(x):
            z = self.network.encode(x)[0]
            along = torch.linspace(0, 1, steps).to(z).view(-1, *[1] * (z.dim() - 1))
            return self.network.decode(torch.lerp(z[:1], z[1:], along)).float().clamp(0, 1)

    @classmethod
    def tiny(cls, rank: int) -> Tiny:
        restoration = RestorationSettings(steps=2, weight=None, weights=(0.0, 1.0), images=2)
        network = SpatialMixtureSettings(width=8) if rank == 3 else DenseMixtureSettings(width=2, hidden=8)
        settings = GMVAESettings(
            network=network, components=3, restoration=restoration, maps=("restoration", "reconstruction")
        )
        size = (16, 16) if rank == 2 else (8, 8, 8)
        return Tiny(settings, 1, size, {"reconstruction": StageSettings(steps=4, batch_size=6)})


def _drawn(mean: Tensor, log_variance: Tensor, generator: torch.Generator) -> Tensor:
    noise = torch.randn(mean.shape, generator=generator, device=generator.device).to(mean)
    return mean + noise * (0.5 * log_variance).exp()
