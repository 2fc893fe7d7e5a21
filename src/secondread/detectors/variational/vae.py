"""Variational autoencoder with the scores of Zimmerer et al.: reconstruction, KL, and the slopes of both."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from secondread.detectors.blocks.reconstruction import (
    Residual,
    Sign,
    one_sided,
    picture,
    refuse_one_image,
    symmetric,
)
from secondread.detectors.blocks.valid_positions import mean_over
from secondread.detectors.blocks.variational.networks import (
    ConvolutionalNetworkSettings,
    EncodesAndDecodes,
    LinearNetworkSettings,
    VariationalNetworkSettings,
    has_batch_statistics,
)
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
from secondread.networks.gaussian_blur import gaussian_blur
from secondread.networks.precision import full_precision

MapName = Literal[
    "reconstruction", "elbo_gradient", "kl_gradient", "reconstruction_gradient", "combined", "restoration"
]
GRADIENTS = ("elbo_gradient", "kl_gradient", "reconstruction_gradient", "combined")


class VAESettings(DetectorSettings):
    name: Literal["vae"] = "vae"
    network: VariationalNetworkSettings = LinearNetworkSettings()
    error: Literal["l2", "l1", "gaussian"] = Field(
        "l2", description="(x - x')², |x - x'|, or -log N(x; x', s²) with s = exp(log_deviation)"
    )
    log_deviation: float = Field(0.0, ge=-10, le=10, description="of the Gaussian, fixed")
    reduction: Literal["mean", "sum"] = Field(
        "mean", description="of the error over pixels, and of KL over latent numbers"
    )
    kl_weight: float = Field(0.005, ge=0)
    residual: Residual = "both"
    score: Literal["reconstruction", "kl", "elbo", "restoration"] = "reconstruction"
    maps: Annotated[tuple[MapName, ...], Field(min_length=1, max_length=6)] = Field(
        ("reconstruction",), description="which are computed; the first one is the map"
    )
    smoothing: float = Field(3.0, ge=0, le=1_000, description="pixels, standard deviation; of gradients")
    restoration: RestorationSettings = RestorationSettings()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        refuse_maps(self.maps, self.score)
        return self


@dataclass(frozen=True)
class Energies:
    """Of some images: the reconstruction's part and KL, each `[N]`, and what is rebuilt, in x's shape."""

    reconstruction: Tensor
    kl: Tensor
    rebuilt: Tensor


class VAE(Detector):
    """loss = rec + kl_weight * KL(q(z | x) || N(0, I)), with q Gaussian and z drawn from it in training.

    x is the image on [-1, 1]; rec is the error between x and x' = decoder(z), and it and KL are means or sums
    over pixels and latent numbers (`reduction`). At scoring z is the mean of q, so that nothing is random.

    Parts: `reconstruction` = rec, `kl`, `elbo` = rec + kl_weight * KL (where sums are taken and the weight is
    1, minus the bound on log p(x), up to a constant), and `restoration`, the mean of its map, where that is
    asked for. `score` names the one that is the score. Maps, mean over channels, of which those that `maps`
    names are computed:

        reconstruction                   (x - x')², with error l1 |x - x'|
        elbo_, kl_, reconstruction_gradient
                                         |d elbo/dx|, |d KL/dx|, |d rec/dx|, blurred
        combined                         the map `reconstruction` * (|d KL/dx| blurred - low) / (high - low)
        restoration                      |x - T(x)|, T by gradient steps (`blocks.variational.restoration`)

    low and high are the least and the largest value of the blurred slope at valid places of held-out normals,
    found when training ends; the authors take them per image or per test set. With `residual: positive` x is
    raised to x' wherever it is below it before rec and the map are taken, at scoring alone.

    Stage `reconstruction`. Padding is in neither rec nor its map.

    Sources: D. P. Kingma, M. Welling, Auto-encoding variational Bayes, ICLR 2014; D. Zimmerer, J. Petersen,
    S. Kohl, K. Maier-Hein, A case for the score: identifying image anomalies using variational autoencoder
    gradients, 2018; D. Zimmerer, F. Isensee, J. Petersen, S. Kohl, K. Maier-Hein, Unsupervised anomaly
    localization using variational auto-encoders, MICCAI 2019; Y. Cai, W. Zhang, H. Chen, K.-T. Cheng,
    MedIAnomaly, Medical Image Analysis 2025.
    """

    Settings = VAESettings
    settings: VAESettings
    ranks = frozenset({2, 3})
    network: EncodesAndDecodes

    def build(self, *, pretrained: bool) -> None:
        maps = self.settings.maps
        self.network = self.settings.network.build(self.channels, self.size)
        self.slopes: Tensor | None
        self.register_buffer("slopes", torch.tensor([0.0, 1.0]) if "combined" in maps else None)
        self.weight: Tensor | None
        self.register_buffer("weight", first_weight(maps, self.settings.restoration))
        self.costly_scoring = "restoration" in maps
        self.gradients_at_scoring = self.costly_scoring or bool(set(maps) & set(GRADIENTS))

    def stages(self) -> Iterator[Stage]:
        maps, chosen = self.settings.maps, self.settings.restoration.weight is None
        assert isinstance(self.network, nn.Module)
        yield Stage(
            "reconstruction",
            {"normal": 1.0},
            [Step((self.network,), self.loss, name="reconstruction")],
            validate="steps",
            examine=self.examine if "combined" in maps or ("restoration" in maps and chosen) else None,
        )

    def loss(self, batches: Batches, generator: torch.Generator) -> dict[str, Tensor]:
        batch = batches["normal"]
        x = self.of_a_step(batch)
        found = self.energies(x, batch.valid, generator)
        return {
            "reconstruction": found.reconstruction.mean(),
            "kl": self.settings.kl_weight * found.kl.mean(),
        }

    def of_a_step(self, batch: Batch) -> Tensor:
        """x of a training batch; UserError where it is one image that batch statistics need company for."""
        assert isinstance(self.network, nn.Module)
        if has_batch_statistics(self.network):
            refuse_one_image(self, len(batch))
        return symmetric(batch.images)

    def energies(
        self,
        x: Tensor,
        valid: Tensor | None,
        generator: torch.Generator | None = None,
        *,
        sign: Sign = "both",
        against: Tensor | None = None,
    ) -> Energies:
        """Of images on [-1, 1]; with a generator z is drawn, else it is the mean. `against` is what the
        reconstruction is compared with, x where nothing is said."""
        mean, log_variance = self.network.encode(x)
        z = mean
        if generator is not None:
            drawn = torch.randn(mean.shape, generator=generator, device=generator.device).to(mean)
            z = mean + drawn * (0.5 * log_variance).exp()
        rebuilt = self.network.decode(z).float()
        seen = one_sided(x if against is None else against, rebuilt, sign)
        divergence = normal_divergence(mean, log_variance)
        kl = divergence.mean(dim=1) if self.settings.reduction == "mean" else divergence.sum(dim=1)
        return Energies(self.reduced(self.pixel_loss(seen, rebuilt), valid), kl, rebuilt)

    def pixel_loss(self, x: Tensor, rebuilt: Tensor) -> Tensor:
        """The error that rec adds up, in the shape of x."""
        match self.settings.error:
            case "l2":
                return (x - rebuilt).square()
            case "l1":
                return (x - rebuilt).abs()
            case "gaussian":
                log_deviation = self.settings.log_deviation
                inside = 0.5 * math.exp(-2 * log_deviation) * (x - rebuilt).square()
                return inside + log_deviation + 0.5 * math.log(2 * math.pi)

    def reduced(self, values: Tensor, valid: Tensor | None) -> Tensor:
        """`[N, C, *size]` over channels and valid places, `[N]`."""
        if self.settings.reduction == "mean":
            return mean_over(values, valid)
        return (values if valid is None else values * valid).flatten(1).sum(dim=1)

    def elbo(self, found: Energies) -> Tensor:
        return found.reconstruction + self.settings.kl_weight * found.kl

    def why_no_graph(self) -> str | None:
        return "restores each image by gradient steps" if "restoration" in self.settings.maps else None

    def score(self, batch: Batch, noise: ScoringNoise, *, maps: bool) -> Scores:
        x, sign = symmetric(batch.images), self.settings.residual
        shown: dict[str, Tensor] = {}
        with full_precision(x):
            found = self.energies(x, batch.valid, sign=sign)
            if "restoration" in self.settings.maps:
                shown["restoration"] = self.restoration_map(x, batch.valid)
            if maps:
                for name in self.settings.maps:
                    if name != "restoration":
                        shown[name] = self.map_of(name, x, batch.valid, found.rebuilt)
        values = {"reconstruction": found.reconstruction, "kl": found.kl, "elbo": self.elbo(found)}
        if "restoration" in shown:
            values["restoration"] = mean_over(shown["restoration"], batch.valid)
        return Scores({name: Part(value) for name, value in values.items()}, shown if maps else {})

    def map_of(self, name: str, x: Tensor, valid: Tensor | None, rebuilt: Tensor) -> Tensor:
        """One map, `[N, 1, *size]`."""
        if name == "reconstruction":
            return self.error_map(x, rebuilt)
        if name == "combined":
            assert self.slopes is not None
            low, high = self.slopes
            slope = (self.slope("kl_gradient", x, valid) - low) / (high - low)
            return slope * self.error_map(x, rebuilt)
        return self.slope(name, x, valid)

    def error_map(self, x: Tensor, rebuilt: Tensor) -> Tensor:
        residual = one_sided(x, rebuilt, self.settings.residual) - rebuilt
        return (residual.abs() if self.settings.error == "l1" else residual.square()).mean(
            dim=1, keepdim=True
        )

    def slope(self, name: str, x: Tensor, valid: Tensor | None) -> Tensor:
        """The size of the gradient of one energy by the image, blurred: `[N, 1, *size]`."""
        with torch.enable_grad():
            y = x.detach().requires_grad_()
            found = self.energies(y, valid, sign=self.settings.residual)
            energy = {
                "elbo_gradient": self.elbo,
                "kl_gradient": lambda energies: energies.kl,
                "reconstruction_gradient": lambda energies: energies.reconstruction,
            }[name](found)
            (gradient,) = torch.autograd.grad(energy.sum(), y)
        return gaussian_blur(gradient.abs().mean(dim=1, keepdim=True), self.settings.smoothing)

    def restoration_map(self, x: Tensor, valid: Tensor | None) -> Tensor:
        assert self.weight is not None
        weight = float(self.weight)
        target = restored(x, valid, self.energy, self.settings.restoration, weight)
        return (one_sided(x, target, self.settings.residual) - target).abs().mean(dim=1, keepdim=True)

    def energy(self, x: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor]:
        """What a restoration lowers: the elbo of each image, `[N]`, as often as it has pixels where it is of
        means, since the total variation is a sum; and what is rebuilt."""
        found = self.energies(x, valid)
        elbo = self.elbo(found)
        if self.settings.reduction == "mean":
            elbo = elbo * (x[0].numel() if valid is None else valid.flatten(1).sum(dim=1) * self.channels)
        return elbo, found.rebuilt

    def examine(self, held_out: Iterator[Batch], generator: torch.Generator) -> dict[str, float]:
        """The range of |d KL/dx| among held-out normals, and the weight that changes them least."""
        settings, low, high = self.settings.restoration, math.inf, -math.inf
        chosen = self.weight is not None and settings.weight is None
        few: list[tuple[Tensor, Tensor | None]] = []
        figures: dict[str, float] = {}
        with full_precision(next(self.parameters())):
            for batch in held_out:
                x, valid = symmetric(batch.images), batch.valid
                if self.slopes is not None:
                    slope = self.slope("kl_gradient", x, valid)
                    counted = slope if valid is None or not valid.any() else slope[valid]
                    low, high = min(low, float(counted.min())), max(high, float(counted.max()))
                if chosen and sum(len(images) for images, _ in few) < settings.images:
                    few.append((x, valid))
            if self.slopes is not None:
                figures |= {"least slope of KL": low, "largest slope of KL": high}
                self.slopes.copy_(torch.tensor([low, high if high > low else low + 1.0]))
            if chosen and self.weight is not None:
                figures |= choose_weight(self.weight, iter(few), self.energy, settings)
        return figures

    def mixture(self) -> Mixture:
        return Mixture({self.settings.score: 1.0}, scaled=False)

    def map_mixture(self) -> Mixture | None:
        return Mixture({self.settings.maps[0]: 1.0}, scaled=False)

    @torch.no_grad()
    def sample(self, n: int, generator: torch.Generator, *, temperature: float = 1.0) -> Tensor:
        """Images `[n, C, *size]` in [0, 1] from z drawn from the prior (`contract.Generative`)."""
        z = temperature * torch.randn(n, self.network.latent, generator=generator)
        return self.images_of(z.to(next(self.parameters())))

    @torch.no_grad()
    def interpolate(self, first: Tensor, second: Tensor, steps: int) -> Tensor:
        """Images `[steps, C, *size]` along the line between the means of two images `[C, *size]`."""
        with full_precision(first):
            mean, _ = self.network.encode(symmetric(torch.stack((first, second))))
        return self.images_of(torch.lerp(mean[:1], mean[1:], torch.linspace(0, 1, steps).to(mean)[:, None]))

    def images_of(self, z: Tensor) -> Tensor:
        with full_precision(z):
            return picture(self.network.decode(z))

    @classmethod
    def tiny(cls, rank: int) -> Tiny:
        network = LinearNetworkSettings(width=2, hidden=8, latent=4)
        maps: tuple[MapName, ...] = ("combined", "elbo_gradient", "reconstruction")
        restoration = RestorationSettings(steps=2, weight=None, weights=(0.0, 1.0), images=2)
        settings = cls.Settings(network=network, maps=maps)
        if rank == 3:
            settings = cls.Settings(
                network=ConvolutionalNetworkSettings(widths=(4, 4), latent=4), error="gaussian",
                reduction="sum", kl_weight=1.0, score="restoration",
                maps=("restoration", "reconstruction_gradient"), restoration=restoration,
            )  # fmt: skip
        size = (16, 16) if rank == 2 else (8, 8, 8)
        return Tiny(settings, 1, size, {"reconstruction": StageSettings(steps=4, batch_size=6)})
