"""Deep SVDD: a network without biases that brings normals near a fixed point; what stays away is abnormal."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from secondread.detectors.blocks.reconstruction import refuse_one_image
from secondread.detectors.blocks.valid_positions import mean_over
from secondread.detectors.contract import Batch, Batches, Detector, Scores, ScoringNoise, Stage, Step, Tiny
from secondread.detectors.detector_settings import DetectorSettings, StageSettings
from secondread.estimators.centre import centre_of
from secondread.networks.one_class.lenet import LeNet, LeNetDecoder
from secondread.networks.precision import full_precision
from secondread.settings.base import Count, Settings, Width

HARDLY_FARTHER = 1.1
"""Times the normals' distance: where their negatives lie no farther, the network has collapsed."""

Widths = Annotated[tuple[Width, ...], Field(min_length=1, max_length=8)]


class LeNetSettings(Settings):
    """See `networks.one_class.lenet`; the defaults are the paper's for CIFAR-10."""

    widths: Widths = Field((32, 64, 128), description="of its convolutions; each halves the grid")
    code: Width = Field(128, description="numbers of an image; a multiple of the last grid's cells")


class DeepSVDDSettings(DetectorSettings):
    """The defaults are the paper's."""

    name: Literal["deep-svdd"] = "deep-svdd"
    network: LeNetSettings = LeNetSettings()
    boundary: Literal["hard", "soft"] = Field(
        "hard", description="hard: every normal is drawn to the centre; soft: those outside the sphere alone"
    )
    nu: float = Field(0.1, gt=0, lt=1, description="soft: the share of normals that may lie outside")
    warm_up: Count = Field(10, description="soft: epochs before the radius is estimated; it is 0 until then")
    pretrain: bool = Field(True, description="as the encoder of an autoencoder, in a stage before")
    contrast: bool = Field(
        True, description="each image minus its mean, over its mean absolute value, as the paper has it"
    )


class DeepSVDD(Detector):
    """d(x) = |f(x) - c|^2, with f a LeNet without biases (`networks.one_class.lenet`).

        autoencoder  mean over images of the squared error, summed over pixels; the encoder is f
        hard         mean d
        soft         R^2 + (1 / nu) mean max(0, d - R^2)
        score        d, or d - R^2

    The centre c is the normals' mean code before the first step of the last stage, with every number within
    0.1 of 0 moved there, and stays. R is 0 for `warm_up` epochs; after each epoch from then on it is such
    that the share nu of the normals lies outside. With `contrast` an image i becomes
    x = (i - mean i) / mean |i - mean i| over its valid positions, and then (x - low) / (high - low), low and
    high being the least and the highest of all normals. Padding is 0 throughout and left out of the
    reconstruction error.

    After training the log has the mean distance of held-out normals and of their negatives, 1 - x; where
    these lie hardly farther from the centre, the network gives all images one code, and a warning says so.

    Images `[N, C, *size]` in [0, 1]. ValueError for sizes that do not halve with the widths, and for a code
    that does not fill the last grid.

    Source: L. Ruff et al., Deep one-class classification, ICML 2018; layers, the shift of c and the warm-up
    as the authors' code has them (lukasruff/Deep-SVDD-PyTorch), which takes R from each batch.
    """

    Settings = DeepSVDDSettings
    settings: DeepSVDDSettings
    ranks = frozenset({2, 3})
    part = "distance"
    centre: Tensor
    radius: Tensor
    span: Tensor
    far: Tensor

    def build(self, *, pretrained: bool) -> None:
        settings, rank = self.settings.network, len(self.size)
        sizes = settings.model_dump()
        self.network = LeNet(rank, self.channels, self.size, **sizes)
        self.decoder = (
            LeNetDecoder(rank, self.channels, self.network.grid, **sizes) if self.settings.pretrain else None
        )
        self.register_buffer("centre", torch.zeros(settings.code))
        self.register_buffer("radius", torch.zeros(()))
        self.register_buffer("span", torch.tensor([0.0, 1.0]))
        self.register_buffer("far", torch.full((2,), math.nan))

    def stages(self) -> Iterator[Stage]:
        on = {"normal": 1.0}
        if self.settings.contrast:
            self.ends = torch.tensor([math.inf, -math.inf])
            yield Stage("contrast", on, collect=self.collect_span, finish=self.finish_span)
        if self.decoder is not None:
            yield Stage(
                "autoencoder",
                on,
                [Step((self.network, self.decoder), self.reconstruction_loss, name="autoencoder")],
                validate="steps",
                score=lambda batch, noise: self.reconstruction_error(batch),
            )
        yield Stage(
            "one-class",
            on,
            [Step((self.network,), self.loss, name="one-class")],
            validate="steps",
            keeps=("radius",),
            prepare=self.find_centre,
            each_epoch=self.each_epoch,
            examine=self.examine,
        )

    def collect_span(self, batches: Batches) -> None:
        """The least and the highest value of the normals, once each has its contrast."""
        x = with_contrast(batches["normal"])
        low, high = self.ends.to(x.device)
        self.ends = torch.stack((torch.minimum(low, x.min()), torch.maximum(high, x.max())))

    def finish_span(self) -> None:
        if self.ends[1] > self.ends[0]:
            self.span.copy_(self.ends)

    def find_centre(self, batches: Iterator[Batches], generator: torch.Generator) -> None:
        self.centre.copy_(centre_of(torch.cat([self.code(self.taken(batch["normal"])) for batch in batches])))

    def taken(self, batch: Batch) -> Tensor:
        """x, float32."""
        x = batch.images.float()
        if self.settings.contrast:
            low, high = self.span
            x = (with_contrast(batch) - low) / (high - low)
        return x if batch.valid is None else x * batch.valid

    def code(self, x: Tensor) -> Tensor:
        found: Tensor = self.network(x)
        return found.float()

    def distance(self, x: Tensor) -> Tensor:
        """d, `[N]`."""
        return (self.code(x) - self.centre).square().sum(dim=1)

    def reconstruction_error(self, batch: Batch) -> Tensor:
        """Squared error, summed over channels and pixels, of each image `[N]`."""
        assert self.decoder is not None
        x = self.taken(batch)
        error = (self.decoder(self.code(x)).float() - x).square()
        return (error if batch.valid is None else error * batch.valid).flatten(1).sum(dim=1)

    def reconstruction_loss(self, batches: Batches, generator: torch.Generator) -> dict[str, Tensor]:
        refuse_one_image(self, len(batches["normal"]))
        return {"reconstruction": self.reconstruction_error(batches["normal"]).mean()}

    def loss(self, batches: Batches, generator: torch.Generator) -> dict[str, Tensor]:
        refuse_one_image(self, len(batches["normal"]))
        distance = self.distance(self.taken(batches["normal"]))
        if self.settings.boundary == "hard":
            return {"distance": distance.mean()}
        outside = (distance - self.radius.square()).clamp_min(0)
        return {"radius": self.radius.square(), "outside": outside.mean() / self.settings.nu}

    def each_epoch(self, number: int, batches: Iterator[Batches]) -> None:
        if self.settings.boundary == "soft" and number + 1 >= self.settings.warm_up:
            found = torch.cat([self.distance(self.taken(batch["normal"])) for batch in batches])
            self.radius.copy_(upper_quantile(found, self.settings.nu).sqrt())

    def examine(self, held_out: Iterator[Batch], generator: torch.Generator) -> dict[str, float]:
        found = []
        for batch in held_out:
            x = self.taken(batch)
            negative = 1 - x if batch.valid is None else (1 - x) * batch.valid
            with full_precision(x):
                found.append(torch.stack((self.distance(x), self.distance(negative)), dim=1))
        self.far.copy_(torch.cat(found).mean(dim=0))
        near, far = self.far.tolist()
        figures = {"distance of held-out normals": near, "distance of their negatives": far}
        return {**figures, "radius": float(self.radius)} if self.settings.boundary == "soft" else figures

    def warnings(self) -> tuple[str, ...]:
        told = []
        if self.settings.boundary == "soft" and not self.radius:
            told.append(
                "the radius is 0, so the boundary is the hard one: the one-class stage ended within its "
                f"{self.settings.warm_up} epochs of warm-up; set detector.warm_up lower, or train for longer"
            )
        near, far = self.far.tolist()
        if far <= HARDLY_FARTHER * near:
            told.append(
                "the network has collapsed: the negatives of held-out normals lie at a mean squared distance "
                f"of {far:.3g} from the centre and these themselves at {near:.3g}, so every image has about "
                "the same code; train the one-class stage for fewer steps, at a lower rate, or with pretrain"
            )
        return tuple(told)

    def score(self, batch: Batch, noise: ScoringNoise, *, maps: bool) -> Scores:
        x = self.taken(batch)
        with full_precision(x):
            distance = self.distance(x)
        return self.one_part(
            distance - self.radius.square() if self.settings.boundary == "soft" else distance
        )

    @classmethod
    def tiny(cls, rank: int) -> Tiny:
        settings = DeepSVDDSettings(
            network=LeNetSettings(widths=(4, 4), code=32 if rank == 2 else 64), boundary="soft", warm_up=1
        )
        stage = StageSettings(steps=3, batch_size=4)
        size = (16, 16) if rank == 2 else (8, 8, 8)
        return Tiny(settings, 1, size, {"contrast": stage, "autoencoder": stage, "one-class": stage})


def with_contrast(batch: Batch) -> Tensor:
    """Each image minus its mean, over its mean absolute value: over channels and valid positions, which are
    the only ones that are not 0. An image without contrast is 0."""
    x, places = batch.images.float(), (-1, *[1] * (batch.images.dim() - 1))
    x = x - mean_over(x, batch.valid).view(places)
    x = x if batch.valid is None else x * batch.valid
    return x / mean_over(x.abs(), batch.valid).clamp_min(1e-6).view(places)


def upper_quantile(values: Tensor, share: float) -> Tensor:
    """What `share` of `[n]` lie above, linear between two ranks."""
    ranked = values.sort().values
    place = (1 - share) * (len(values) - 1)
    low, high = ranked[math.floor(place)], ranked[math.ceil(place)]
    return torch.lerp(low, high, place - math.floor(place))
