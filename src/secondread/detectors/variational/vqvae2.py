"""VQ-VAE-2: images as codes on two levels, what the codes lose, and how likely the codes are."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from itertools import islice
from typing import Annotated, Literal

import torch
from pydantic import Field, PositiveFloat
from torch import Tensor

from secondread.detectors.blocks.reconstruction import Residual, one_sided, picture, symmetric
from secondread.detectors.blocks.valid_positions import mean_over, valid_on
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
from secondread.networks.by_rank import resize
from secondread.networks.precision import full_precision
from secondread.networks.quantised.causal_prior import CausalPrior, redrawn
from secondread.networks.quantised.two_level_autoencoder import Codes, TwoLevelAutoencoder
from secondread.settings.base import Draws, Layers, Settings, Width, Window

MapName = Literal["reconstruction", "likelihood", "restoration"]


class CodesSettings(Settings):
    """See `networks.quantised.two_level_autoencoder`."""

    width: Width = 128
    residual_width: Width = 32
    blocks: Layers = Field(2, description="residual blocks of each encoder and decoder")
    codes: Width = Field(512, description="in each of the two codebooks")
    code_width: Width = 64
    commitment: float = Field(0.25, ge=0, description="weight of the latents' distance from their codes")
    decay: float = Field(0.99, gt=0, lt=1, description="of the codebooks' moving averages")
    dead_below: float = Field(
        1.0, ge=0, description="uses in a batch, on average, below which a code is replaced; 0 = never"
    )


class PriorSettings(Settings):
    """See `networks.quantised.causal_prior`."""

    width: Width = 256
    blocks: Layers = 16
    kernel: Window = 5
    heads: Annotated[int, Field(ge=0, le=64)] = Field(8, description="of the top level's attention; 0 = none")
    dropout: float = Field(0.1, ge=0, lt=1)


class RestorationSettings(Settings):
    """See `VQVAE2`; the defaults are those of Marimont and Tarroni's code."""

    threshold: float = Field(5.0, description="nats of -log p above which a code is drawn anew")
    draws: Draws = Field(15, description="restorations of each image")
    nearness: PositiveFloat = Field(3.0, description="how much more a restoration near the image weighs")


class VQVAE2Settings(DetectorSettings):
    name: Literal["vqvae2"] = "vqvae2"
    autoencoder: CodesSettings = CodesSettings()
    prior: PriorSettings = PriorSettings()
    unlikely_above: float = Field(7.0, description="nats of -log p above which a code is counted as unlikely")
    maps: Annotated[tuple[MapName, ...], Field(min_length=1, max_length=3)] = ("reconstruction",)
    restoration: RestorationSettings = RestorationSettings()
    residual: Residual = "both"


class VQVAE2(Detector):
    """Images become codes on strides 8 (top) and 4 (bottom), and their likelihood is learned.

    Stage `codes` trains the autoencoder, on x = 2 image - 1 (`networks.quantised.two_level_autoencoder`):

        loss = mean (x - x')^2 + commitment sum over levels of mean (z - e)^2

    with z the latents and e their codes' vectors, which are moving averages (`Codebook`). Stage `prior`
    trains -log p(top) - log p(bottom | top) (`networks.quantised.causal_prior`).

    Parts: `reconstruction`, the mean of (x - x')^2; `likelihood`, -log p of all codes, in nats a code; and
    `unlikely`, the sum of those -log p that are above `unlikely_above` nats. Codes of padding count in none.
    The first two are standardised and mixed equally.

    Maps, those that `maps` names: `reconstruction`, (x - x')^2; `likelihood`, the sum over levels of -log p,
    interpolated; and `restoration`, sum_j w_j |x - x_j| over `draws` images x_j decoded from codes of which
    those above `threshold` nats have been drawn anew, first on top, then on the bottom given that top;
    w = softmax over j of nearness / mean |x - x_j|. Each is a mean over channels.

    Sizes are multiples of 8. Sources: A. Razavi, A. van den Oord, O. Vinyals, Generating diverse
    high-fidelity images with VQ-VAE-2, NeurIPS 2019; likelihood and restoration: S. N. Marimont, G. Tarroni,
    Anomaly detection through latent space restoration using vector-quantized variational autoencoders, ISBI
    2021, and the authors' code (one level there).
    """

    Settings = VQVAE2Settings
    settings: VQVAE2Settings
    ranks = frozenset({2, 3})

    def build(self, *, pretrained: bool) -> None:
        settings, rank = self.settings, len(self.size)
        self.costly_scoring = "restoration" in settings.maps
        self.network = TwoLevelAutoencoder(
            rank, self.channels, self.size, **settings.autoencoder.model_dump(exclude={"commitment"})
        )
        prior, codes = settings.prior, settings.autoencoder.codes
        top, bottom = self.network.grids
        shape = prior.model_dump(exclude={"heads"})
        self.top_prior = CausalPrior(top, codes, **shape, heads=prior.heads)
        self.bottom_prior = CausalPrior(bottom, codes, **shape, condition=codes)

    def stages(self) -> Iterator[Stage]:
        yield Stage(
            "codes",
            {"normal": 1.0},
            [Step((self.network,), self.loss, name="codes", after=self.update)],
            validate="steps",
            keeps=("network.top", "network.bottom"),
            prepare=self.begin,
            score=self.reconstruction,
        )
        yield Stage(
            "prior",
            {"normal": 1.0},
            [Step((self.top_prior, self.bottom_prior), self.prior_loss, name="prior")],
            validate="steps",
            frozen=self.codes,
        )

    def begin(self, batches: Iterator[Batches], generator: torch.Generator) -> None:
        """The codebooks start as latents of the first batch, the top before the bottom that sees it."""
        for batch in islice(batches, 1):
            x = symmetric(batch["normal"].images)
            for book, level in ((self.network.top, 0), (self.network.bottom, 1)):
                book.begin(self.network(x)[1][level], generator)

    def loss(self, batches: Batches, generator: torch.Generator) -> dict[str, Tensor]:
        batch = batches["normal"]
        x = symmetric(batch.images)
        rebuilt, latents, codes = self.network(x)
        commitment = torch.zeros((), device=x.device)
        for book, z, chosen in zip((self.network.top, self.network.bottom), latents, codes, strict=True):
            commitment = commitment + (z - book.embed(chosen)).square().mean()
            if self.training:
                book.see(z, chosen, generator)
        return {
            "reconstruction": mean_over((x - rebuilt).square(), batch.valid).mean(),
            "commitment": self.settings.autoencoder.commitment * commitment,
        }

    def update(self) -> None:
        self.network.top.update()
        self.network.bottom.update()

    def codes(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The codes of images, int32 `[N, *S]` of each level."""
        x = symmetric(images)
        with full_precision(x):
            codes = self.network(x)[2]
        return codes.top.int(), codes.bottom.int()

    def prior_loss(self, batches: Batches, generator: torch.Generator) -> dict[str, Tensor]:
        batch = batches["normal"]
        kept = self.codes(batch.images) if batch.features is None else batch.features
        top, bottom = (codes.long() for codes in kept)
        return {
            "top": self.top_prior.surprise(top).mean(),
            "bottom": self.bottom_prior.surprise(bottom, top).mean(),
        }

    def reconstruction(self, batch: Batch, noise: ScoringNoise) -> Tensor:
        """The part `reconstruction` alone, `[N]`."""
        x = symmetric(batch.images)
        with full_precision(x):
            rebuilt = self.network(x)[0]
        return mean_over(self.error(x, rebuilt), batch.valid)

    def error(self, x: Tensor, rebuilt: Tensor) -> Tensor:
        """(x - x')^2, mean over channels, `[N, 1, *size]`."""
        difference = one_sided(x, rebuilt, self.settings.residual) - rebuilt
        return difference.square().mean(dim=1, keepdim=True)

    def why_no_graph(self) -> str | None:
        if "restoration" in self.settings.maps:
            return "draws unlikely codes of each image anew, one after the other"
        return None

    def score(self, batch: Batch, noise: ScoringNoise, *, maps: bool) -> Scores:
        x = symmetric(batch.images)
        with full_precision(x):
            rebuilt, _, codes = self.network(x)
            surprise = self.surprise(codes)
            error = self.error(x, rebuilt)
            every = torch.cat([level.flatten(1) for level in surprise], dim=1)[:, None]
            judged = self.judged(batch.valid)
            unlikely = every * (every > self.settings.unlikely_above)
            parts = {
                "reconstruction": mean_over(error, batch.valid),
                "likelihood": mean_over(every, judged),
                "unlikely": (unlikely if judged is None else unlikely * judged).flatten(1).sum(dim=1),
            }
            found: dict[str, Tensor] = {}
            if maps and "reconstruction" in self.settings.maps:
                found["reconstruction"] = error
            if maps and "likelihood" in self.settings.maps:
                shown = [resize(level[:, None], self.size) for level in surprise]
                found["likelihood"] = shown[0] + shown[1]
            if maps and "restoration" in self.settings.maps:
                found["restoration"] = self.restored_error(x, codes, batch.valid, noise)
        return Scores({name: Part(values) for name, values in parts.items()}, found)

    def surprise(self, codes: Codes) -> tuple[Tensor, Tensor]:
        """-log p of each code, nats, `[N, *S]` of each level."""
        return self.top_prior.surprise(codes.top), self.bottom_prior.surprise(codes.bottom, codes.top)

    def judged(self, valid: Tensor | None) -> Tensor | None:
        """Which codes, those of the top first, stand for what is not padding, `[N, 1, P]`; None = all."""
        if valid is None:
            return None
        of_levels = (valid_on(valid, tuple(grid)) for grid in self.network.grids)
        return torch.cat([level.flatten(2) for level in of_levels if level is not None], dim=2)

    def restored_error(self, x: Tensor, codes: Codes, valid: Tensor | None, noise: ScoringNoise) -> Tensor:
        """The map `restoration`, `[N, 1, *size]`."""
        settings, count = self.settings.restoration, self.settings.restoration.draws
        places = [level[0].numel() for level in codes]
        drawn = noise.uniform((count, sum(places))).flatten(0, 1)
        several = Codes(*(level.repeat_interleave(count, dim=0) for level in codes))
        restored = self.network.of_codes(self.redraw(several, drawn, threshold=settings.threshold))
        restored = restored.unflatten(0, (len(x), count))
        compared = one_sided(x[:, None], restored, self.settings.residual)
        error = (compared - restored).abs().mean(dim=2, keepdim=True)
        flat, every = error.flatten(0, 1), None if valid is None else valid.repeat_interleave(count, dim=0)
        distance = mean_over(flat, every).view(len(x), count).clamp_min(torch.finfo(torch.float32).eps)
        weight = (settings.nearness / distance).softmax(dim=1)
        return (weight.view(*weight.shape, *[1] * (x.dim() - 1)) * error).sum(dim=1)

    def redraw(
        self, codes: Codes, draws: Tensor, *, threshold: float = -math.inf, temperature: float = 1.0
    ) -> Codes:
        """Codes of which the unlikely ones are drawn anew, by one number from U[0, 1) a place, `[N, P]`."""
        of_top, of_bottom = draws.split([codes.top[0].numel(), codes.bottom[0].numel()], dim=1)
        again = partial(redrawn, threshold=threshold, temperature=temperature)
        top = again(self.top_prior, codes.top, of_top)
        return Codes(top, again(self.bottom_prior, codes.bottom, of_bottom, above=top))

    @torch.no_grad()
    def sample(self, n: int, generator: torch.Generator, *, temperature: float = 1.0) -> Tensor:
        """Fictional normal images `[n, C, *size]` in [0, 1] of codes drawn from the prior
        (`contract.Generative`); `temperature` divides the logits."""
        device = self.network.top.codes.device
        blank = Codes(
            *(torch.zeros(n, *grid, dtype=torch.long, device=device) for grid in self.network.grids)
        )
        draws = torch.rand(n, sum(math.prod(grid) for grid in self.network.grids), generator=generator)
        with full_precision(self.network.top.codes):
            return picture(
                self.network.of_codes(self.redraw(blank, draws.to(device), temperature=temperature))
            )

    @torch.no_grad()
    def interpolate(self, first: Tensor, second: Tensor, steps: int) -> Tensor:
        """Images `[steps, C, *size]` along the line between the latents of two images `[C, *size]`, quantised
        at each step; the ends are the two reconstructions."""
        x = symmetric(torch.stack((first, second)))
        with full_precision(x):
            latents = self.network(x)[1]
            along = torch.linspace(0, 1, steps, device=x.device).view(-1, *[1] * (x.dim() - 1))
            top, bottom = (z[:1].lerp(z[1:], along) for z in latents)
            chosen = Codes(self.network.top.nearest(top), self.network.bottom.nearest(bottom))
            return picture(self.network.of_codes(chosen))

    def mixture(self) -> Mixture:
        return Mixture({"reconstruction": 0.5, "likelihood": 0.5})

    def map_mixture(self) -> Mixture:
        names = dict.fromkeys(self.settings.maps)
        return Mixture({name: 1 / len(names) for name in names}, scaled=len(names) > 1)

    @classmethod
    def tiny(cls, rank: int) -> Tiny:
        settings = VQVAE2Settings(
            autoencoder=CodesSettings(
                width=4, residual_width=2, blocks=1, codes=6, code_width=3, decay=0.8, dead_below=0.5
            ),
            prior=PriorSettings(width=4, blocks=1, kernel=3, heads=2, dropout=0.1),
            unlikely_above=1.0,
            maps=("reconstruction", "likelihood", "restoration"),
            restoration=RestorationSettings(threshold=1.5, draws=2),
        )
        stage = StageSettings(steps=4, batch_size=4)
        size = (16, 16) if rank == 2 else (16, 8, 8)
        return Tiny(settings, 1, size, {"codes": stage, "prior": stage})
