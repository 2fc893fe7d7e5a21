"""EfficientAD: a small teacher, its student and an autoencoder (Batzner et al., WACV 2024)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool1d, pad

from secondread.detectors.blocks.distillation.held_out_statistics import HeldOutStatistics
from secondread.detectors.blocks.distillation.teacher_images import TEACHER_COHORTS, teacher_images
from secondread.detectors.blocks.feature_maps import FeatureMaps, FeatureMapsSettings
from secondread.detectors.blocks.pooled_map import PooledMapSettings
from secondread.detectors.blocks.valid_positions import mean_over, valid_on
from secondread.detectors.contract import (
    AUXILIARY,
    Batch,
    Batches,
    Detector,
    Scores,
    ScoringNoise,
    Stage,
    Step,
    Tiny,
)
from secondread.detectors.detector_settings import DetectorSettings, StageSettings
from secondread.estimators.feature_normalisation import FeatureNormalisation
from secondread.networks.by_rank import resize
from secondread.networks.cells import Cells, place, resample
from secondread.networks.distillation.changed_light import changed_light
from secondread.networks.distillation.description_network import (
    DescriptionAutoencoder,
    DescriptionNetwork,
    Form,
    borders,
)
from secondread.networks.encoder import EncoderSettings
from secondread.networks.gaussian_blur import gaussian_blur
from secondread.settings.base import Layers, Width, Window

LOW, HIGH = 0.9, 0.995
"""Of normals' map values: the quantiles that become 0 and 0.1."""


class EfficientADSettings(FeatureMapsSettings, PooledMapSettings, DetectorSettings):
    """The defaults are the paper's, but for its teacher's encoder."""

    name: Literal["efficientad"] = "efficientad"
    neighbourhood: Window = Field(
        3, description="positions per axis over which the encoder's maps are averaged"
    )
    enlarge: Layers = Field(2, description="times that images are enlarged for the encoder")
    network: Form = Field("small", description="of teacher and student")
    width: Width = Field(128, description="channels of their first layer")
    descriptor: Width = Field(384, description="channels that the teacher gives")
    padding: bool = Field(
        False, description="of teacher and student; without it patches lie within the image"
    )
    code: Width = Field(64, description="of the autoencoder, and its wider layers; others have half")
    dropout: float = Field(0.2, ge=0, lt=1, description="of the autoencoder")
    hardest: float = Field(
        0.001, gt=0, le=1, description="share of a batch's distances that the student learns by"
    )
    penalty: float = Field(1.0, ge=0, description="of what the student says of auxiliary images")
    light: float = Field(
        0.2, ge=0, lt=1, description="most by which images' light is changed for the autoencoder"
    )
    keep_features: bool = Field(
        True, description="the encoder's maps are computed once per image and kept on disk"
    )

    @property
    def default_strides(self) -> tuple[int, ...]:
        return (8, 16)


class EfficientAD(Detector):
    """A student learns a teacher's descriptors t on normals, and what an autoencoder makes of them.

        t, s, s' = standardised teacher, and the student's two halves, each of `descriptor` channels
        a        = autoencoder(image), which sees the whole image through a narrow code
        loss     = mean of the `hardest` share of (t - s)²
                 + `penalty` · mean of s² on auxiliary images, where there are any
                 + mean of (t - a)² + mean of (a - s')², of images in another light
        m1, m2   = means over channels of (t - s)² and (a - s')²
        map      = ½ n(m1) + ½ n(m2), n(m) = 0.1 (m - q90) / (q99.5 - q90);  score = its maximum

    m1 finds what is locally new, m2 what is new in its place. q are quantiles over all positions of held-out
    normals, or of up to 64 training normals where none is held out.

    The teacher is a small network that learns from an encoder's levels in the fit's first stage, by the mean
    squared error of channels standardised on what it learns from: the recipe's auxiliary images, or the
    normals where there are none. The encoder sees images enlarged; its levels stand side by side on the
    finest one's grid, their channels averaged down to `descriptor`. Without auxiliary images there is no
    penalty, and a student follows its teacher further.

    The part and the map are called `distance`. Padding of images counts neither in losses and quantiles nor
    in the score, but for what networks see of it. Beyond the outermost patches the map is 0.

    `[N, C, *S]` in [0, 1]; ValueError for images smaller than a patch of 33 pixels without `padding`, and for
    what the encoder does not take.

    Source: K. Batzner, L. Heckler, R. König, EfficientAD: accurate visual anomaly detection at millisecond-
    level latencies, WACV 2024; sizes of the autoencoder as later implementations have them.
    """

    Settings = EfficientADSettings
    settings: EfficientADSettings
    part = "distance"
    gives_map = True
    ranks = frozenset({2, 3})
    uses = frozenset({AUXILIARY})

    def build(self, *, pretrained: bool) -> None:
        settings, rank = self.settings, len(self.size)
        self.enlarged = tuple(settings.enlarge * length for length in self.size)
        self.maps = FeatureMaps(settings, self.channels, self.enlarged, pretrained=pretrained)

        def network(descriptor: int) -> DescriptionNetwork:
            return DescriptionNetwork(
                rank,
                self.channels,
                settings.network,
                width=settings.width,
                descriptor=descriptor,
                padding=settings.padding,
            )

        self.teacher = network(settings.descriptor)
        self.student = network(2 * settings.descriptor)
        self.grid = self.teacher.grid(self.size)
        self.cells = self.teacher.cells(rank)
        self.autoencoder = DescriptionAutoencoder(
            rank,
            self.channels,
            self.size,
            self.grid,
            descriptor=settings.descriptor,
            widths=(max(1, settings.code // 2), settings.code),
            noise=settings.dropout,
        )
        once = (1,) * rank
        self.wanted_standard = FeatureNormalisation(settings.descriptor, once, standardise="channel")
        self.teacher_standard = FeatureNormalisation(settings.descriptor, once, standardise="channel")
        self.quantiles: Tensor
        self.register_buffer("quantiles", torch.tensor([[0.0, 0.0], [1.0, 1.0]]))

    def stages(self) -> Iterator[Stage]:
        quantiles = HeldOutStatistics(self.values, self.take)
        yield Stage(
            "teacher",
            TEACHER_COHORTS,
            [Step((self.teacher,), self.teacher_loss, name="teacher")],
            validate="steps",
            prepare=self.prepare_teacher,
            frozen=self.wanted if self.settings.keep_features else None,
        )
        yield Stage(
            "student",
            {"normal": 0.5, AUXILIARY: 0.5},
            [Step((self.student, self.autoencoder), self.loss, name="student")],
            validate=self.held_out_loss,
            prepare=self.prepare_student,
            collect=quantiles.collect,
            finish=quantiles.finish,
            examine=quantiles.examine,
        )

    @torch.no_grad()
    def wanted(self, images: Tensor) -> tuple[Tensor, ...]:
        """What the encoder says at the places of the teacher's descriptors: `[N, descriptor, *grid]`."""
        every = self.maps.on_grid(self.maps(resize(images, self.enlarged)))
        rows = adaptive_avg_pool1d(every.flatten(2).transpose(1, 2), self.settings.descriptor)
        narrowed = rows.transpose(1, 2).unflatten(2, every.shape[2:])
        times, cells = self.settings.enlarge, self.maps.cells[0]
        source = Cells(
            tuple((offset - (times - 1) / 2) / times for offset in cells.offset),
            tuple(stride / times for stride in cells.stride),
        )
        return (resample(narrowed, source, self.cells, self.grid),)

    def prepare_teacher(self, batches: Iterator[Batches], generator: torch.Generator) -> None:
        """Mean and deviation of the encoder's channels."""
        every = (teacher_images(cohorts) for cohorts in batches)
        self.wanted_standard.fit(((self._wanted(b), self._valid(b)) for b in every), generator)

    def teacher_loss(self, batches: Batches, generator: torch.Generator) -> dict[str, Tensor]:
        batch = teacher_images(batches)
        error = (self.teacher(batch.images).float() - self.wanted_standard(self._wanted(batch))).square()
        return {"distance": mean_over(error, self._valid(batch)).mean()}

    def prepare_student(self, batches: Iterator[Batches], generator: torch.Generator) -> None:
        """Mean and deviation of the teacher's channels on normals."""
        every = (cohorts["normal"] for cohorts in batches if "normal" in cohorts)
        self.teacher_standard.fit(((self.teacher(b.images), self._valid(b)) for b in every), generator)

    def loss(self, batches: Batches, generator: torch.Generator) -> dict[str, Tensor]:
        batch = batches["normal"]
        valid = self._valid(batch)
        terms = {"hardest": self._hardest(self._differences(batch.images)[0], valid)}
        if AUXILIARY in batches and self.settings.penalty:
            foreign = batches[AUXILIARY]
            silent = mean_over(self._halves(foreign.images)[0].square(), self._valid(foreign)).mean()
            terms["penalty"] = self.settings.penalty * silent
        lit = changed_light(batch.images, self.settings.light, generator)
        restored = self.autoencoder(lit).float()
        terms["autoencoder"] = mean_over((self._described(lit) - restored).square(), valid).mean()
        terms["agreement"] = mean_over((restored - self._halves(lit)[1]).square(), valid).mean()
        return terms

    def held_out_loss(self, batches: Batches, generator: torch.Generator) -> dict[str, Tensor]:
        """Of normals as they are, all positions alike."""
        batch = batches["normal"]
        names = ("student", "agreement")
        pairs = zip(names, self._differences(batch.images), strict=True)
        return {name: mean_over(error, self._valid(batch)).mean() for name, error in pairs}

    def score(self, batch: Batch, noise: ScoringNoise, *, maps: bool) -> Scores:
        both = torch.cat([x.mean(dim=1, keepdim=True) for x in self._differences(batch.images)], dim=1)
        low, high = (row.view(1, 2, *[1] * len(self.size)) for row in self.quantiles)
        scaled = (0.1 * (both - low) / (high - low)).mean(dim=1, keepdim=True)
        around = borders(self.cells.offset, self.cells.stride)
        sides = [side for before in reversed(around) for side in (before, before)]
        first = tuple(o - n * s for o, n, s in zip(self.cells.offset, around, self.cells.stride, strict=True))
        placed = place(pad(scaled, sides), Cells(first, self.cells.stride), self.size)
        anomaly_map = gaussian_blur(placed, self.settings.smoothing)
        value = self.settings.pooled(anomaly_map, batch.valid)
        return self.one_part(value, anomaly_map if maps else None)

    def values(self, batch: Batch) -> Tensor:
        """The two maps' values at valid positions, `[2, n]`."""
        both = torch.stack([x.mean(dim=1) for x in self._differences(batch.images)])
        valid = self._valid(batch)
        return both.flatten(1) if valid is None else both[:, valid[:, 0]]

    def take(self, values: list[Tensor]) -> dict[str, float]:
        """The quantiles of both maps."""
        ranked = torch.cat(values, dim=1).sort(dim=1).values
        ends = [ranked[:, round(share * (ranked.shape[1] - 1))] for share in (LOW, HIGH)]
        self.quantiles.copy_(torch.stack((ends[0], torch.maximum(ends[1], ends[0] + 1e-6))))
        names = ("student", "autoencoder")
        return {f"{HIGH:.1%} of the {name}'s map": float(v) for name, v in zip(names, ends[1], strict=True)}

    @classmethod
    def tiny(cls, rank: int) -> Tiny:
        settings = EfficientADSettings(
            encoder=EncoderSettings(weights="random"),
            layers=("features.4", "features.7"),
            enlarge=1,
            width=4,
            descriptor=8,
            padding=True,
            code=8,
            hardest=0.1,
        )
        stages = dict.fromkeys(("teacher", "student"), StageSettings(steps=3, batch_size=4))
        return Tiny(settings, 1, (4, 32, 32)[-rank:], stages)

    def _wanted(self, batch: Batch) -> Tensor:
        return (batch.features or self.wanted(batch.images))[0]

    def _valid(self, batch: Batch) -> Tensor | None:
        return valid_on(batch.valid, self.grid)

    @torch.no_grad()
    def _described(self, images: Tensor) -> Tensor:
        """The teacher's descriptors, standardised."""
        described: Tensor = self.teacher_standard(self.teacher(images))
        return described

    def _halves(self, images: Tensor) -> tuple[Tensor, ...]:
        return self.student(images).float().chunk(2, dim=1)

    def _differences(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Squared, of teacher and student, and of autoencoder and student: `[N, descriptor, *grid]` each."""
        first, second = self._halves(images)
        of_teacher = (self._described(images) - first).square()
        return of_teacher, (self.autoencoder(images).float() - second).square()

    def _hardest(self, squares: Tensor, valid: Tensor | None) -> Tensor:
        """The mean of the highest share of the batch's squared distances."""
        kept = squares.flatten() if valid is None else squares.movedim(1, -1)[valid[:, 0]].flatten()
        return kept.topk(max(1, round(self.settings.hardest * len(kept)))).values.mean()
