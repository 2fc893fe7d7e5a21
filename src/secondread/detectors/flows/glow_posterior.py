"""The log posterior of two flows: log p(x | normal) - log p(x), after Shibata et al., and its relatives."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import partial

import torch
from torch import Tensor

from secondread.detectors.blocks.glow_settings import GlowPosteriorSettings
from secondread.detectors.blocks.image_flow.architecture import GlowFlowSettings, ResidualFlowSettings
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
from secondread.detectors.detector_settings import StageSettings
from secondread.errors import UserError
from secondread.flows.glow.dequantisation import Dequantisation
from secondread.flows.image_flow import ImageFlow
from secondread.networks.gaussian_blur import gaussian_blur
from secondread.networks.precision import DRIFT_IMAGES, MOST_DRIFT, full_precision

DIVERGED = 1e6
"""Bits per dimension beyond which a loss counts as not finite."""
ELEMENTS_TOGETHER = 1 << 19
"""Of the images that a flow is given at once at scoring."""


class GlowPosterior(Detector):
    """score = -(log p_0(x) - log p_1(x)) / (D ln 2), with p_0 a flow of normal images and p_1 another one.

        log p(normal | x) = log p(x | normal) - log p(x) + log p(normal)

    second   mixture: p_1 is of the unlabelled images, normal and abnormal ones, so that the score is the
             log posterior less a constant (Shibata et al.). background: p_1 is of normals in which a
             share `replace` of the pixels has a random level, so that the score is Ren's likelihood
             ratio; there is no unlabelled image then. none: p_0 alone
    score    posterior; likelihood: -log2 P_0(x) / D; typicality: the same, two-tailed: far from what
             normals have, either way (Nalisnick et al.)
    map      posterior, likelihood: the same by place, each level's terms spread over the pixels that they
             stand for; their mean is the part. gradient: |d log posterior / dx| (of log p_0 where there
             is one model), summed over channels. All blurred with `smooth`

    The flows are Glows, or by `flow: residual` residual flows, which estimate log p with random vectors of
    signs at each draw, the same for both models, and run in float32 always.

    Images are `[C, *size]` in [0, 1], as the steps `window` and `percentiles` give them (what lies outside
    is clipped, so `standardise` does not go with this detector), quantised to 2^bits levels with
    uniform noise (`flows.glow.dequantisation`): one draw in training, the mean over `draws` at scoring,
    the same for both models. Losses and parts are bits per dimension of the levels; D counts channels
    times pixels. Padding is learned like the rest of an image, and left out of the image's score: then the
    parts are means over valid pixels of the terms by place.

    Parts: `likelihood`, `typicality`, with a second model `posterior` and `mixture_likelihood` or
    `background_likelihood` (its -log2 P_1 / D), and `background`, the share of pixels at level 0, which
    likelihoods of images are known to follow.

    Stages: `normal` trains p_0, `mixture` or `background` p_1; `precision` measures on normals by how much
    bf16 moves the score (buffer `drift`, in standard deviations of the score over them). From 0.01 on
    scoring runs in float32.

    Sources: H. Shibata et al., Versatile anomaly detection method for medical images with semi-supervised
    flow-based generative models, IJCARS 16, 2021 (arXiv 2001.07847); J. Ren et al., Likelihood ratios for
    out-of-distribution detection, NeurIPS 2019; E. Nalisnick et al., Detecting out-of-distribution inputs
    to deep generative models using typicality, 2019 (arXiv 1906.02994); D. Kingma, P. Dhariwal, Glow,
    NeurIPS 2018; R. Chen et al., Residual flows for invertible generative modeling, NeurIPS 2019.
    """

    Settings = GlowPosteriorSettings
    settings: GlowPosteriorSettings
    ranks = frozenset({2, 3})
    normal: ImageFlow

    def build(self, *, pretrained: bool) -> None:
        settings, channels = self.settings, self.channels
        self.needs = frozenset({"normal", "unlabelled"} if settings.second == "mixture" else {"normal"})
        self.gradients_at_scoring = settings.map == "gradient"
        self.dequantisation = Dequantisation(settings.bits)
        self.normal = settings.flow.build(channels, self.size)
        self.second: ImageFlow | None = None
        if settings.second != "none":
            self.second = settings.flow.build(channels, self.size)
        self.drift: Tensor
        self.half_precision: Tensor
        self.register_buffer("drift", torch.full((), torch.nan))
        self.register_buffer("half_precision", torch.tensor(False))

    def stages(self) -> Iterator[Stage]:
        kind = self.settings.second
        yield Stage(
            "normal",
            {"normal": 1.0},
            [Step((self.normal,), partial(self.loss, self.normal, "normal"), name="normal")],
            validate="steps",
            prepare=partial(self.initialise, self.normal, "normal"),
            diverged_above=DIVERGED,
            score=None if self.settings.score in ("likelihood", "typicality") else self.strangeness,
        )
        if self.second is not None:
            cohort = "unlabelled" if kind == "mixture" else "normal"
            follows = () if self.settings.start == "own" else ("normal",)
            yield Stage(
                kind,
                {cohort: 1.0},
                [Step((self.second,), partial(self.loss, self.second, cohort), name=kind)],
                validate="steps",
                prepare=partial(self.initialise, self.second, cohort),
                diverged_above=DIVERGED,
                follows=follows,
            )
        yield Stage("precision", {"normal": 1.0}, prepare=self.measure_drift)

    def initialise(
        self, flow: ImageFlow, cohort: str, batches: Iterator[Batches], generator: torch.Generator
    ) -> None:
        """Fit the activation normalisation to `initial_images` images, or start from the first model."""
        start = self.settings.start
        if flow is self.second and start == "trained":
            flow.load_state_dict(self.normal.state_dict())
        elif flow is self.normal or start == "own":
            images = torch.cat(list(_first(batches, cohort, self.settings.initial_images)))
            flow.initialise(self._continuous(flow, images, generator))
            if start == "same" and self.second is not None:
                self.second.load_state_dict(flow.state_dict())

    def loss(
        self, flow: ImageFlow, cohort: str, batches: Batches, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """-log2 P / D of the cohort's images, spoilt for the background model, with one draw of noise."""
        y = self._continuous(flow, batches[cohort].images, generator)
        shape = flow.random_numbers
        u = None if shape is None else _uniform((len(y), *shape), generator).to(y)
        log_density = flow.log_density(y, u)
        bits = self.dequantisation.bits_per_dimension(log_density, flow.dimensions)
        return {"bits_per_dimension": bits.mean().float()}

    @torch.no_grad()
    def measure_drift(self, batches: Iterator[Batches], generator: torch.Generator) -> None:
        """Set `drift` = rms(score in bf16 - score in float32) / sd(score), and `half_precision`."""
        if not self.normal.autocasts:
            return
        found: dict[str, list[Tensor]] = {"bf16": [], "float32": []}
        for images in _first(batches, "normal", DRIFT_IMAGES):
            y = self.dequantisation.noisy(images, _uniform(images.shape, generator).to(images))
            for precision, context in (
                ("bf16", torch.autocast(y.device.type, torch.bfloat16)),
                ("float32", full_precision(y)),
            ):
                with context:
                    found[precision].append(_mean(self._scored(*self._bits(y)), None))
        half, full = torch.cat(found["bf16"]), torch.cat(found["float32"])
        drift = (half - full).square().mean().sqrt() / full.std(correction=0)
        self.drift.copy_(drift.nan_to_num(nan=math.inf, posinf=math.inf))
        self.half_precision.copy_(self.drift < MOST_DRIFT)

    def why_no_graph(self) -> str | None:
        if self.normal.random_numbers is not None:
            return "sums as many terms of a series as are drawn for each image"
        return None

    def score(self, batch: Batch, noise: ScoringNoise, *, maps: bool) -> Scores:
        images = batch.images.float()
        draws = [noise.uniform(images.shape[1:]) for _ in range(self.settings.draws)]
        with self._precision(images):
            noisy = [self.dequantisation.noisy(images, u) for u in draws]
            numbers = self._numbers(noise)
            first, *rest = self._mean_bits(noisy, numbers)
            shown = self._maps(noisy, numbers, first, *rest) if maps else {}
        likelihood = _mean(first, batch.valid)
        parts = {"likelihood": Part(likelihood), "typicality": Part(likelihood, "two")}
        for second in rest:
            parts["posterior"] = Part(_mean(first - second, batch.valid))
            parts[f"{self.settings.second}_likelihood"] = Part(_mean(second, batch.valid))
        empty = (self.dequantisation.levels(images) == 0).to(first).mean(dim=1, keepdim=True)
        parts["background"] = Part(_mean(empty, batch.valid))
        return Scores(
            parts, {name: gaussian_blur(map_, self.settings.smooth) for name, map_ in shown.items()}
        )

    def strangeness(self, batch: Batch, noise: ScoringNoise) -> Tensor:
        """-log2 P_0 / D of each image, `[N]`, while p_0 is all that is trained."""
        images = batch.images.float()
        with self._precision(images):
            draws = [noise.uniform(images.shape[1:]) for _ in range(self.settings.draws)]
            noisy = [self.dequantisation.noisy(images, u) for u in draws]
            pairs = zip(noisy, self._numbers(noise), strict=True)
            bits = torch.stack([self._bits(y, u)[0] for y, u in pairs]).mean(dim=0)
        return _mean(bits, batch.valid)

    def mixture(self) -> Mixture:
        return Mixture({self.settings.score: 1.0}, scaled=False)

    def map_mixture(self) -> Mixture | None:
        return None if self.settings.map == "none" else Mixture({self.settings.map: 1.0}, scaled=False)

    def notes(self) -> tuple[str, ...]:
        drift = float(self.drift)
        if math.isnan(drift) or bool(self.half_precision):
            return ()
        amount = f"{100 * drift:.1f} % of" if math.isfinite(drift) else "more than"
        return (
            f"bf16 would move the score by {amount} its standard deviation over normals, so scoring runs in "
            "float32",
        )

    @classmethod
    def tiny(cls, rank: int) -> Tiny:
        glow = GlowFlowSettings(levels=2, depth=1, width=16)
        residual = ResidualFlowSettings(levels=1, depth=1, width=8, scoring_exact=4)
        settings = GlowPosteriorSettings(
            flow=glow if rank == 2 else residual,
            map="gradient" if rank == 2 else "posterior",
        )
        training, collecting = StageSettings(steps=3, batch_size=6), StageSettings(batch_size=6)
        stages = {"normal": training, "mixture": training, "precision": collecting}
        return Tiny(settings, 1, (16, 16) if rank == 2 else (8, 8, 8), stages)

    @torch.no_grad()
    def sample(self, n: int, generator: torch.Generator, *, temperature: float = 1.0) -> Tensor:
        """Fictional normal images `[n, C, *size]` in [0, 1], drawn from p_0 (`contract.Generative`)."""
        with full_precision(self.drift):
            return self.dequantisation.images(self.normal.sample(n, generator, temperature=temperature))

    @torch.no_grad()
    def interpolate(self, first: Tensor, second: Tensor, steps: int) -> Tensor:
        """Images `[steps, C, *size]` along the line between the latent variables, in p_0, of two images
        `[C, *size]`; the ends are the two, quantised."""
        y = self.dequantisation.noisy(torch.stack((first, second)).float(), torch.tensor(0.5))
        with full_precision(y):
            latents = self.normal.latents(y)
            along = torch.linspace(0, 1, steps, device=y.device).view(-1, *(1 for _ in y.shape[1:]))
            return self.dequantisation.images(
                self.normal.inverse([z[:1].lerp(z[1:], along) for z in latents])
            )

    def _continuous(self, flow: ImageFlow, images: Tensor, generator: torch.Generator) -> Tensor:
        """What a model learns from: images with noise, and for the background model random levels."""
        images = images.float()
        if flow is self.second and self.settings.second == "background":
            spoilt = _uniform((len(images), 1, *images.shape[2:]), generator) < self.settings.replace
            levels = (_uniform(images.shape, generator) * self.dequantisation.count).floor()
            random = levels / (self.dequantisation.count - 1)
            images = torch.where(spoilt.to(images.device), random.to(images), images)
        return self.dequantisation.noisy(images, _uniform(images.shape, generator).to(images))

    def _numbers(self, noise: ScoringNoise) -> list[Tensor | None]:
        """What the flows draw for each of the `draws`: the same for both."""
        shape = self.normal.random_numbers
        return [None if shape is None else noise.uniform(shape) for _ in range(self.settings.draws)]

    def _bits(self, y: Tensor, u: Tensor | None = None) -> Tensor:
        """-log2 P by place, per channel, of each model: `[1 or 2, N, 1, *size]`, float32."""
        models = [self.normal] if self.second is None else [self.normal, self.second]
        return self._bits_of(torch.stack([model.log_density_map(y, u) for model in models]))

    def _bits_of(self, nats: Tensor) -> Tensor:
        return self.settings.bits - nats / (self.channels * math.log(2))

    def _mean_bits(self, noisy: list[Tensor], numbers: list[Tensor | None]) -> Tensor:
        """`_bits`, the mean over draws of the noise."""
        found: list[Tensor] = []
        for some in together(noisy):
            drawn = [u for u in numbers[some] if u is not None]
            bits = self._bits(torch.cat(noisy[some]), torch.cat(drawn) if drawn else None)
            found += bits.chunk(len(noisy[some]), dim=1)
        return torch.stack(found).mean(dim=0)

    def _scored(self, first: Tensor, *second: Tensor) -> Tensor:
        """By place, what the score is the mean of."""
        return first - second[0] if self.settings.score == "posterior" else first

    def _maps(
        self, noisy: list[Tensor], numbers: list[Tensor | None], first: Tensor, *second: Tensor
    ) -> dict[str, Tensor]:
        match self.settings.map:
            case "posterior":
                return {"posterior": first - second[0]}
            case "likelihood":
                return {"likelihood": first}
            case "gradient":
                slopes = [self._slope(y, u) for y, u in zip(noisy, numbers, strict=True)]
                return {"gradient": torch.stack(slopes).mean(dim=0)}
            case "none":
                return {}

    def _slope(self, y: Tensor, u: Tensor | None) -> Tensor:
        """|d log posterior / dy| summed over channels, `[N, 1, *size]`, nats per unit of brightness."""
        with torch.enable_grad():
            y = y.detach().requires_grad_()
            log_posterior = self.normal.log_density(y, u)
            if self.second is not None:
                log_posterior = log_posterior - self.second.log_density(y, u)
            (slope,) = torch.autograd.grad(log_posterior.sum(), y)
        return slope.abs().sum(dim=1, keepdim=True)

    def _precision(self, images: Tensor) -> AbstractContextManager[object]:
        return nullcontext() if bool(self.half_precision) else full_precision(images)


def together(noisy: list[Tensor]) -> Iterator[slice]:
    """Which draws of a batch a flow is given at once: several of small images, of which one alone is not
    worth a pass."""
    count = max(1, ELEMENTS_TOGETHER // noisy[0].numel())
    for at in range(0, len(noisy), count):
        yield slice(at, at + count)


def _first(batches: Iterator[Batches], cohort: str, count: int) -> Iterator[Tensor]:
    """The images of the first batches, `count` in all where there are so many. UserError where there is
    none."""
    left = count
    for batch in batches:
        images = batch[cohort].images.float()[:left]
        left -= len(images)
        yield images
        if left == 0:
            return
    if left == count:
        raise UserError(f"glow-posterior needs at least one image in the cohort {cohort!r}")


def _uniform(shape: torch.Size | tuple[int, ...], generator: torch.Generator) -> Tensor:
    return torch.rand(shape, generator=generator, device=generator.device)


def _mean(values: Tensor, valid: Tensor | None) -> Tensor:
    """Mean of `[N, 1, *S]` over valid positions, `[N]`, summed in float64."""
    flat = values.flatten(1).double()
    if valid is None:
        return flat.mean(dim=1)
    weight = valid.flatten(1).double()
    return (flat * weight).sum(dim=1) / weight.sum(dim=1).clamp_min(1)
