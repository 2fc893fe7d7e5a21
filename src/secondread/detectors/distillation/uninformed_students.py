"""Uninformed students know a teacher's descriptors on normals alone (Bergmann et al., CVPR 2020)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from secondread.detectors.blocks.distillation.held_out_statistics import HeldOutStatistics
from secondread.detectors.blocks.distillation.patch_teachers import PatchTeachers, PatchTeacherSettings
from secondread.detectors.blocks.pooled_map import PooledMapSettings
from secondread.detectors.blocks.valid_positions import mean_over
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
from secondread.networks.cells import place
from secondread.networks.distillation.patch_network import PatchNetwork
from secondread.networks.encoder import EncoderSettings
from secondread.networks.gaussian_blur import gaussian_blur
from secondread.settings.base import Draws


class UninformedStudentsSettings(PatchTeacherSettings, PooledMapSettings, DetectorSettings):
    """The defaults are the paper's."""

    name: Literal["uninformed-students"] = "uninformed-students"
    students: Draws = Field(3, ge=2, description="of each teacher; their disagreement is half of the score")
    dense: Literal["always", "scoring", "never"] = Field(
        "always",
        description="where patches are described at every pixel: else at every fourth or eighth, for patches "
        "of 33 or 65 pixels; in training that grid is moved at random",
    )


class UninformedStudents(Detector):
    """Students s_1 … s_M regress a teacher's descriptors t of all patches of normals; they do not see its
    training.

        t     = (T(patch) - m) / s, with m and s of each dimension over the normals' patches
        loss  = sum over students j of the mean over pixels of |s_j - t|²
        e     = |mean of s_j - t|²                      the regression error
        v     = mean of |s_j|² - |mean of s_j|²         the predictive variance
        map   = mean over patches' sides of (e - m_e) / d_e + (v - m_v) / d_v;  score = its maximum

    One teacher and M students for each side of `patches`, all networks alike; teachers learn from an
    encoder (`PatchTeachers`). m_e, d_e, m_v and d_v are means and standard deviations over all pixels of
    held-out normals, or of up to 64 training normals where none is held out. Descriptors are of the patch
    around each pixel, and images are mirrored at their edges.

    The part and the map are called `distance`. Padding counts neither in loss and moments nor in the score,
    but for what patches see of it.

    `[N, C, *S]` in [0, 1]; ValueError for images smaller than half a patch and for what the encoder does not
    take.

    Source: P. Bergmann, M. Fauser, D. Sattlegger, C. Steger, Uninformed students: student-teacher anomaly
    detection with discriminative latent embeddings, CVPR 2020.
    """

    Settings = UninformedStudentsSettings
    settings: UninformedStudentsSettings
    part = "distance"
    gives_map = True
    ranks = frozenset({2, 3})
    uses = frozenset({AUXILIARY})

    def build(self, *, pretrained: bool) -> None:
        settings, rank = self.settings, len(self.size)
        self.teachers = PatchTeachers(settings, self.channels, self.size, pretrained=pretrained)
        self.students = nn.ModuleList(
            nn.ModuleList(
                PatchNetwork(rank, self.channels, side, width=settings.width, descriptor=settings.descriptor)
                for _ in range(settings.students)
            )
            for side in settings.patches
        )
        self.standards = nn.ModuleList(
            FeatureNormalisation(settings.descriptor, (1,) * rank, standardise="channel")
            for _ in settings.patches
        )
        self.means: Tensor
        self.deviations: Tensor
        shape = (len(settings.patches), 2)
        self.register_buffer("means", torch.zeros(shape))
        self.register_buffer("deviations", torch.ones(shape))

    def stages(self) -> Iterator[Stage]:
        moments = HeldOutStatistics(self.sums, self.take)
        yield self.teachers.stage()
        yield Stage(
            "students",
            {"normal": 1.0},
            [Step((self.students,), self.loss, name="students")],
            validate="steps",
            prepare=self.prepare,
            collect=moments.collect,
            finish=moments.finish,
            examine=moments.examine,
        )

    def prepare(self, batches: Iterator[Batches], generator: torch.Generator) -> None:
        """Mean and deviation of each teacher's descriptors."""
        for cohorts in batches:
            batch = cohorts["normal"]
            for network, standard in self._each_standard():
                dense = self._dense(training=True)
                described = network(network.around(batch.images), dense=dense)
                standard.collect(described, self._valid(batch, network, dense))
        for _, standard in self._each_standard():
            standard.finish(generator)

    def loss(self, batches: Batches, generator: torch.Generator) -> dict[str, Tensor]:
        batch = batches["normal"]
        dense = self._dense(training=True)
        terms = {}
        for number, (network, standard) in enumerate(self._each_standard()):
            moved = self._moved(network, dense, generator)
            images = _from(network.around(batch.images), moved)
            with torch.no_grad():
                target = standard(network(images, dense=dense))
            valid = self._valid(batch, network, dense, moved)
            errors = [
                mean_over((student(images, dense=dense).float() - target).square().sum(1, True), valid).mean()
                for student in self._of(number)
            ]
            terms[f"patches of {network.side}"] = torch.stack(errors).sum()
        return terms

    def score(self, batch: Batch, noise: ScoringNoise, *, maps: bool) -> Scores:
        every = []
        for number, both in enumerate(self.disagreement(batch.images)):
            shape = (2, *[1] * len(self.size))
            scaled = (both - self.means[number].view(shape)) / self.deviations[number].view(shape)
            network = self.teachers.each()[number]
            cells = network.cells(len(self.size), dense=self._dense(training=False))
            every.append(place(scaled.sum(dim=1, keepdim=True), cells, self.size))
        anomaly_map = gaussian_blur(torch.stack(every).mean(dim=0), self.settings.smoothing)
        value = self.settings.pooled(anomaly_map, batch.valid)
        return self.one_part(value, anomaly_map if maps else None)

    def disagreement(self, images: Tensor) -> Iterator[Tensor]:
        """e and v as they are, of patches of each side: `[N, 2, *grid]` float32."""
        dense = self._dense(training=False)
        for number, (network, standard) in enumerate(self._each_standard()):
            around = network.around(images)
            target = standard(network(around, dense=dense))
            mean, squares = torch.zeros_like(target), torch.zeros_like(target[:, :1])
            students = self._of(number)
            for student in students:
                own = student(around, dense=dense).float()
                mean += own / len(students)
                squares += own.square().sum(dim=1, keepdim=True) / len(students)
            error = (mean - target).square().sum(dim=1, keepdim=True)
            yield torch.cat((error, squares - mean.square().sum(dim=1, keepdim=True)), dim=1)

    def sums(self, batch: Batch) -> Tensor:
        """Numbers, sums and sums of squares of e and v, `[sides, 3, 2]` float64."""
        rows = []
        for network, both in zip(self.teachers.each(), self.disagreement(batch.images), strict=True):
            valid = self._valid(batch, network, self._dense(training=False))
            weight = torch.ones_like(both[:, :1]) if valid is None else valid.to(both)
            kept = (both * weight).double().transpose(0, 1).flatten(1)
            count = weight.double().sum().expand(2)
            rows.append(torch.stack((count, kept.sum(dim=1), kept.square().sum(dim=1))))
        return torch.stack(rows)

    def take(self, sums: list[Tensor]) -> dict[str, float]:
        """Means and deviations of e and v."""
        count, first, second = torch.stack(sums).sum(dim=0).unbind(dim=1)
        means = first / count.clamp_min(1)
        variances = (second / count.clamp_min(1) - means.square()).clamp_min(0)
        self.means.copy_(means)
        self.deviations.copy_(variances.sqrt().clamp_min(1e-6))
        return {
            f"{name} of patches of {side}": value
            for side, row in zip(self.settings.patches, self.means.tolist(), strict=True)
            for name, value in zip(("error", "variance"), row, strict=True)
        }

    @classmethod
    def tiny(cls, rank: int) -> Tiny:
        encoder = EncoderSettings(weights="random", layer="features.4")
        settings = UninformedStudentsSettings(
            patches=(17,), width=2, descriptor=3, encoder=encoder, enlarged=16, across=(1.0, 2.0), students=2
        )
        stages = dict.fromkeys(("teacher", "students"), StageSettings(steps=3, batch_size=4))
        return Tiny(settings, 1, (16, 16) if rank == 2 else (10, 10, 10), stages)

    def _dense(self, *, training: bool) -> bool:
        return self.settings.dense == "always" or (self.settings.dense == "scoring" and not training)

    def _moved(self, network: PatchNetwork, dense: bool, generator: torch.Generator) -> tuple[int, ...]:
        """By how many pixels along each axis the grid of patches is moved in a training step."""
        if dense or network.stride == 1:
            return (0,) * len(self.size)
        count = (len(self.size),)
        drawn = torch.randint(network.stride, count, generator=generator, device=generator.device)
        return tuple(drawn.tolist())

    def _each_standard(self) -> Iterator[tuple[PatchNetwork, FeatureNormalisation]]:
        for network, standard in zip(self.teachers.each(), self.standards, strict=True):
            assert isinstance(standard, FeatureNormalisation)
            yield network, standard

    def _of(self, number: int) -> list[nn.Module]:
        students = self.students[number]
        assert isinstance(students, nn.ModuleList)
        return list(students)

    def _valid(
        self, batch: Batch, network: PatchNetwork, dense: bool, moved: tuple[int, ...] | None = None
    ) -> Tensor | None:
        """Which patches' middles are valid, `[N, 1, *grid]`."""
        if batch.valid is None or dense:
            return batch.valid
        every = (slice(None), slice(None))
        first = moved or (0,) * len(self.size)
        return batch.valid[(*every, *(slice(start, None, network.stride) for start in first))]


def _from(images: Tensor, first: tuple[int, ...]) -> Tensor:
    """Images `[N, C, *S]` from these pixels on."""
    return images[(slice(None), slice(None), *(slice(start, None) for start in first))]
