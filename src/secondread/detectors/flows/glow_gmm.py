"""FlowGMM on images: one Glow whose latent variables have a Gaussian per class (Izmailov et al., 2020)."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor
from torch.nn.functional import softplus

from secondread.detectors.blocks.class_mixture import LINE, ClassMixture, Latents, MixtureSettings
from secondread.detectors.blocks.glow_settings import GlowPosteriorSettings
from secondread.detectors.blocks.image_flow.architecture import GlowFlowSettings
from secondread.detectors.blocks.valid_positions import mean_over
from secondread.detectors.contract import Batch, Batches, Part, Scores, ScoringNoise, Stage, Step, Tiny
from secondread.detectors.detector_settings import StageSettings
from secondread.detectors.flows.glow_posterior import DIVERGED, GlowPosterior, together
from secondread.flows.glow.glow import Glow
from secondread.networks.by_rank import resize
from secondread.networks.gaussian_blur import gaussian_blur
from secondread.networks.precision import full_precision


class GlowGMMSettings(GlowPosteriorSettings):
    name: Literal["glow-gmm"] = "glow-gmm"  # type: ignore[assignment]
    flow: GlowFlowSettings = GlowFlowSettings(top_prior="unit")
    second: Literal["none"] = Field("none", description="there is one flow")
    map: Literal["posterior", "likelihood", "none"] = "posterior"
    mixture: MixtureSettings = MixtureSettings()
    latents: Literal["pooled", "all"] = Field(
        "pooled",
        description="the mixture is of the top latent map's means, or of all latent variables (FlowGMM)",
    )
    pretrain: bool = Field(True, description="a stage `normal` first trains the flow on normals alone")

    @model_validator(mode="after")
    def _consistent(self) -> GlowGMMSettings:
        if self.flow.top_prior != "unit" or (self.latents == "all" and self.flow.split_prior != "unit"):
            raise ValueError(
                "the mixture takes the place of a standard normal prior: set flow.top_prior to unit, and "
                "with latents: all flow.split_prior too"
            )
        if self.latents == "all" and (self.map == "posterior" or self.mixture.channels):
            raise ValueError(
                "latents: all gives no posterior map and has no channels: set map to likelihood or none"
            )
        if self.score == "typicality":
            raise ValueError("score is posterior or likelihood")
        return self


class GlowGMM(GlowPosterior):
    """score = -log p(normal | x) = softplus(log odds), of one Glow with a component for each class.

    The images, their noise, and the Glow are those of `glow-posterior`; there is no second model. The mixture
    (`detectors.class_mixture`: its densities, its start, its loss) is of

        latents: pooled   s = sqrt(P) times the mean over the P positions of the last level's latent map
        latents: all      s = all latent variables, as FlowGMM has it

    Stages: `normal`, where asked for, trains the flow on normals; `start` places the components;
    `joint` trains flow and mixture on every cohort that `mixture.learns_from` names.

    Parts: `posterior` (nats), `odds` (log odds, nats; the mean over `draws`, of which the posterior is
    taken), `likelihood` (-log2 P(x | normal) / D, bits), `background`. Maps: each place's share of the log
    odds at the last level's grid, or the likelihood's as in `glow-posterior`, of the standard normal latent.

    FlowGMM's flow is a RealNVP of residual networks; this is a Glow. Padding is learned like the rest.

    Source: P. Izmailov, P. Kirichenko, M. Finzi, A. G. Wilson, Semi-supervised learning with normalizing
    flows, ICML 2020.
    """

    Settings = GlowGMMSettings
    settings: GlowGMMSettings
    normal: Glow
    added_later = frozenset({LINE})

    def build(self, *, pretrained: bool) -> None:
        super().build(pretrained=pretrained)
        settings = self.settings
        self.needs = frozenset(settings.mixture.shares)
        pooled = settings.latents == "pooled"
        top = self.normal.latent_shapes[-1][0]
        self.classes = ClassMixture(
            top if pooled else self.normal.dimensions, settings.mixture, pooled=pooled
        )

    def stages(self) -> Iterator[Stage]:
        first = partial(self.initialise, self.normal, "normal")
        if self.settings.pretrain:
            yield next(super().stages())
        on = self.settings.mixture.shares
        yield Stage(
            "start",
            on,
            prepare=None if self.settings.pretrain else first,
            collect=self.collect,
            finish=self.classes.begin,
        )
        yield Stage(
            "joint",
            on,
            [
                Step(
                    (self.normal, self.classes),
                    self.joint_loss,
                    name="joint",
                    paces=[(self.classes, self.settings.mixture.pace)],
                )
            ],
            each_epoch=self.classes.each_epoch,
            validate=self.normal_loss,
            diverged_above=DIVERGED,
            views=2 if self.settings.mixture.consistency else 1,
        )
        yield from self.classes.calibration(self.own_odds)

    def collect(self, batches: Batches) -> None:
        for name, batch in batches.items():
            self.classes.keep(name, self.decisive(batch))

    def decisive(self, batch: Batch) -> Tensor:
        """s of a batch's images with the mean noise, `[N, k]`."""
        y = self.dequantisation.noisy(batch.images.float(), torch.tensor(0.5))
        with full_precision(y):
            return self._density_and_s(y)[1]

    def own_odds(self, batch: Batch) -> Tensor:
        """The log odds before calibration, `[N]`: as at scoring the mean over `draws` of the noise, which
        follows from the image."""
        images = batch.images.float()
        seeds = [zlib.crc32(image.cpu().numpy().tobytes()) for image in images]
        noise = ScoringNoise([torch.Generator().manual_seed(seed) for seed in seeds], images.device)
        odds = []
        with full_precision(images):
            for _ in range(self.settings.draws):
                y = self.dequantisation.noisy(images, noise.uniform(images.shape[1:]))
                odds.append(self.classes.own_odds(self._density_and_s(y)[1]))
        return torch.stack(odds).mean(dim=0)

    def joint_loss(self, batches: Batches, generator: torch.Generator) -> dict[str, Tensor]:
        """`ClassMixture.terms` in nats per dimension, with one draw of noise for all images."""
        views = dict(batches)
        if "unlabelled" in batches and batches["unlabelled"].others:
            (views["other"],) = batches["unlabelled"].others
        images = torch.cat([batch.images for batch in views.values()])
        base, s = self._density_and_s(self._continuous(self.normal, images, generator))
        sizes = [len(batch) for batch in views.values()]
        found = dict(zip(views, zip(base.split(sizes), s.split(sizes), strict=True), strict=True))
        other = found.pop("other", None)
        latents = {}
        for name, (density, pooled) in found.items():
            dimensions = torch.full_like(density, self.normal.dimensions)
            seen_again = other[1] if other is not None and name == "unlabelled" else None
            latents[name] = Latents(density, pooled, dimensions, seen_again)
        return self.classes.terms(latents)

    def normal_loss(self, batches: Batches, generator: torch.Generator) -> dict[str, Tensor]:
        """The loss of normals alone, which held-out normals have too."""
        return self.joint_loss({"normal": batches["normal"]}, generator)

    def score(self, batch: Batch, noise: ScoringNoise, *, maps: bool) -> Scores:
        images = batch.images.float()
        draws = [noise.uniform(images.shape[1:]) for _ in range(self.settings.draws)]
        odds: list[Tensor] = []
        bits: list[Tensor] = []
        shown: list[Tensor] = []
        with full_precision(images):
            noisy = [self.dequantisation.noisy(images, u) for u in draws]
            for some in together(noisy):
                count = len(noisy[some])
                y, by_place = torch.cat(noisy[some]), None
                if maps and self.settings.map == "likelihood":
                    base, by_place, latents = self.normal.density_map_and_latents(y)
                else:
                    base, latents = self.normal.density_and_latents(y)
                s = self._s(latents)
                odds += self.classes.log_odds(s).chunk(count)
                nats = base + self.classes.mixture.class_log_ratio(s)[:, 0]
                bits += self.dequantisation.bits_per_dimension(nats, self.normal.dimensions).chunk(count)
                if maps and self.settings.map != "none":
                    shown += self._map(by_place, latents).chunk(count)
        mean_odds = torch.stack(odds).mean(dim=0)
        empty = (self.dequantisation.levels(images) == 0).float().mean(dim=1, keepdim=True)
        parts = {
            "posterior": Part(softplus(mean_odds)),
            "odds": Part(mean_odds),
            "likelihood": Part(torch.stack(bits).mean(dim=0).float()),
            "background": Part(mean_over(empty, batch.valid)),
        }
        if not shown:
            return Scores(parts)
        mean_map = torch.stack(shown).mean(dim=0)
        return Scores(parts, {self.settings.map: gaussian_blur(mean_map, self.settings.smooth)})

    def notes(self) -> tuple[str, ...]:
        return self.classes.notes()

    @classmethod
    def tiny(cls, rank: int) -> Tiny:
        settings = GlowGMMSettings(
            flow=GlowFlowSettings(levels=2, depth=2, width=16, top_prior="unit"),
            mixture=MixtureSettings(learns_from=("unlabelled", "abnormal")),
            pretrain=rank == 2,
        )
        if rank == 3:
            flow = settings.flow.model_copy(update={"split_prior": "unit"})
            mixture = settings.mixture.model_copy(update={"start": "random", "separation": 1.0})
            settings = settings.model_copy(
                update={"flow": flow, "mixture": mixture, "latents": "all", "map": "likelihood"}
            )
        training = StageSettings(steps=3, batch_size=6)
        stages = {"start": StageSettings(batch_size=6), "joint": training}
        if settings.pretrain:
            stages["normal"] = training
        return Tiny(settings, 1, (16, 16) if rank == 2 else (8, 8, 8), stages)

    @torch.no_grad()
    def sample(self, n: int, generator: torch.Generator, *, temperature: float = 1.0) -> Tensor:
        """Fictional normal images `[n, C, *size]` in [0, 1], drawn from p(x | normal)."""
        with full_precision(self.drift):
            if self.settings.latents == "pooled":

                def top(shape: Sequence[int]) -> Tensor:
                    return self.classes.pool.sample(shape, generator, component=0, temperature=temperature)

                y = self.normal.sample(n, generator, temperature=temperature, top=top)
            else:
                s = self.classes.mixture.sample(n, generator, component=0, temperature=temperature)
                shapes = self.normal.latent_shapes
                each = s.split([math.prod(shape) for shape in shapes], dim=1)
                y = self.normal.inverse([z.view(n, *to) for z, to in zip(each, shapes, strict=True)])
            return self.dequantisation.images(y)

    def _density_and_s(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """log p of the quantised images with a standard normal latent, `[N]` nats, and s."""
        base, latents = self.normal.density_and_latents(y)
        return base - self.normal.dimensions * self.settings.bits * math.log(2), self._s(latents)

    def _s(self, latents: list[Tensor]) -> Tensor:
        if self.settings.latents == "all":
            return torch.cat([z.flatten(1) for z in latents], dim=1)
        return self.classes.pool.pooled(latents[-1])

    def _map(self, by_place: Tensor | None, latents: list[Tensor]) -> Tensor:
        """-log2 P per channel of the nats by place, where there are any; else the log odds by place."""
        if by_place is not None:
            return self._bits_of(by_place)
        # its cells are blocks of the image, so the corners of both grids meet
        return resize(self.classes.log_odds_map(latents[-1], None), self.size)
