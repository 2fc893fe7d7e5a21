"""Mutual scoring: patches without near relatives in most other patients, from unlabelled images alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Literal

import torch
from pydantic import Field, PositiveFloat, field_validator
from torch import Tensor, nn
from torch.nn import functional

from secondread.detectors.blocks.feature_flow import NormalisationSettings, NormalisedMaps
from secondread.detectors.blocks.feature_maps import FeatureMaps, FeatureMapsSettings
from secondread.detectors.blocks.pooled_map import PooledMapSettings
from secondread.detectors.blocks.valid_positions import mean_over, standardised_over
from secondread.detectors.contract import Batch, Batches, Detector, Scores, ScoringNoise, Stage, Tiny
from secondread.detectors.detector_settings import DetectorSettings, StageSettings
from secondread.errors import UserError
from secondread.estimators.coarse_to_fine import CoarseCells
from secondread.estimators.mutual_scores import MutualReference, smoothed_score
from secondread.estimators.reservoir import add_to_reservoir
from secondread.estimators.upper_share import upper_share
from secondread.networks.by_rank import neighbourhood_mean
from secondread.networks.encoder import EncoderSettings
from secondread.settings.base import Count
from secondread.wording.numbers import percent

FEWEST = 3
"""Patients without whom nothing can be said of what most others have."""


class MutualScoringSettings(FeatureMapsSettings, PooledMapSettings, DetectorSettings):
    name: Literal["mutual-scoring"] = "mutual-scoring"
    neighbourhood: Literal[1] = Field(1, description="of the maps as they are taken; see neighbourhoods")
    neighbourhoods: tuple[Annotated[int, Field(ge=1, le=31)], ...] = Field(
        (1, 3, 5),
        min_length=1,
        max_length=8,
        description="positions per axis over which patches are averaged, odd; scores of all are averaged",
    )
    standardise: Literal["map", "channel", "none"] = Field(
        "map",
        description="map: each image's map to mean 0 and deviation 1 over all its channels, as in the paper; "
        "channel: each channel by its mean and deviation over the unlabelled images",
    )
    share: float = Field(
        0.3, gt=0, le=1, description="of the other patients, the nearest, over which a patch is averaged"
    )
    images: Count = Field(
        200, description="unlabelled images kept as the reference, a uniform sample where there are more"
    )
    memory: PositiveFloat = Field(1.0, description="GiB of the reference's patches, at most; lowers images")
    thinning: int = Field(
        1, ge=1, le=16, description="every so many-th position per axis of reference images is kept"
    )
    coarse: int = Field(
        1,
        ge=1,
        le=64,
        description="positions per axis of a coarse cell; a patch is compared with those in the cells most "
        "alike to its own (CS3F); 1 = with all patches",
    )
    matches: Count = Field(4, description="of each reference image, the coarse cells that are looked through")
    half_precision: bool = Field(True, description="of the patches that are kept")
    rescoring: int = Field(
        1,
        ge=1,
        le=100,
        description="the score is averaged with those of the most alike reference images, over 1 to so many "
        "images, itself counted; 1 = as it is, paper: 3",
    )
    warn_above: float = Field(
        0.3, gt=0, le=1, description="estimated share of abnormal images that is worth a warning"
    )

    @field_validator("neighbourhoods")
    @classmethod
    def _have_a_middle(cls, sides: tuple[int, ...]) -> tuple[int, ...]:
        if any(side % 2 == 0 for side in sides) or len(set(sides)) < len(sides):
            raise ValueError("should be different odd numbers")
        return sides


class MutualScoring(Detector):
    """Images `[N, C, *size]`; the part and the map are called `strangeness`.

        a_p = mean over levels and neighbourhoods of
              mean over the nearest `share` of other patients j of min over patches q of j of |x_p - x_q|

    score = the map's maximum (or its mean, or the mean of its highest share) over valid pixels; with
    `rescoring` averaged with those of the most alike reference images (`estimators.mutual_scores`).

    x are the positions of a frozen encoder's map, standardised, averaged over a neighbourhood, and brought to
    unit length. The reference are unlabelled images that the fit keeps, at most `images`. A new image is
    scored against them alone, so that its score depends on no other new image. An image of the reference is
    known by its file's digest, and leaves itself and all images of its patient out; patients are kept as
    numbers that say nothing of who they are.

    **What it assumes**: most patients have no finding. One that more than about `share` of the patients have
    is near to itself in as many, and counts as normal. After the fit a mixture of two Gaussians of the means
    of the reference's own maps (`estimators.upper_share`) estimates which share stands out: a note, and above
    `warn_above` a warning. There are ranks alone until normals calibrate the bundle.

    UserError where there are unlabelled images of fewer than three patients; ValueError as of the encoder,
    and where three images' patches are more than `memory`.

    Sources: X. Li, Z. Huang, F. Xue, Y. Zhou, MuSc: zero-shot industrial anomaly classification and
    segmentation with mutual scoring of the unlabeled images, ICLR 2024, and the authors' code
    (xrli-U/MuSc); for volumes T. Le-Gia, CS3F: Toward training-free zero-shot anomaly detection in 3D medical
    images, 2026, arXiv 2606.18749 (after its abstract; `coarse` is its step from coarse to fine). There the
    images to be judged score each other, and likeness for the re-scoring is of class tokens; here of the last
    level's mean.
    """

    Settings = MutualScoringSettings
    settings: MutualScoringSettings
    needs = frozenset({"unlabelled"})
    ranks = frozenset({2, 3})
    part = "strangeness"
    gives_map = True

    def build(self, *, pretrained: bool) -> None:
        settings = self.settings
        self.normalised = NormalisedMaps(
            NormalisationSettings(standardise="channel" if settings.standardise == "channel" else "none"),
            FeatureMaps(settings, self.channels, self.size, pretrained=pretrained),
            cohort="unlabelled",
        )
        precision = torch.float16 if settings.half_precision else torch.float32
        self.positions = [_thinned(grid, settings.thinning) for grid in self.maps.grids]
        self.cells = [
            None if settings.coarse == 1 else CoarseCells.of(grid, settings.coarse, kept, settings.matches)
            for grid, kept in zip(self.maps.grids, self.positions, strict=True)
        ]
        self.levels = nn.ModuleList(
            MutualReference(len(settings.neighbourhoods), len(kept), width, precision)
            for width, kept in zip(self.maps.channels, self.positions, strict=True)
        )
        needed = sum(level.bytes_per_image for level in self._levels())
        self.most = min(settings.images, int(settings.memory * 2**30 / needed))
        if self.most < FEWEST:
            raise ValueError(
                f"memory: {settings.memory:g} GiB, and one image's patches {needed / 2**20:.0f} MiB; raise "
                "memory or thinning, or take coarser levels or fewer neighbourhoods"
            )
        self.digests: Tensor
        self.patients: Tensor
        self.likeness: Tensor
        self.scores: Tensor
        self.seen: Tensor
        self.anomaly_rate: Tensor
        self.register_buffer("digests", torch.empty(0, dtype=torch.long))
        self.register_buffer("patients", torch.empty(0, dtype=torch.long))
        self.register_buffer("likeness", torch.empty(0, self.maps.channels[-1]))
        self.register_buffer("scores", torch.empty(0))
        self.register_buffer("seen", torch.zeros((), dtype=torch.long))
        self.register_buffer("anomaly_rate", torch.full((), torch.nan))
        self.grows: Mapping[str, tuple[str | None, ...]] = {
            **dict.fromkeys(("digests", "patients", "scores"), ("n",)),
            "likeness": ("n", None),
            **{f"levels.{level}.patches": ("n", None, None, None) for level in range(len(self.levels))},
            **{f"levels.{level}.there": ("n", None) for level in range(len(self.levels))},
        }
        self.keeps = {
            "digests": "digests",
            "patients": "digests",
            "likeness": "features",
            **{f"levels.{level}.patches": "features" for level in range(len(self.levels))},
        }
        self.numbers: dict[str, int] = {}
        self.means: list[Tensor] = []

    @property
    def maps(self) -> FeatureMaps:
        return self.normalised.maps

    def stages(self) -> Iterator[Stage]:
        on = {"unlabelled": 1.0}
        prepare = self.normalised.prepare
        yield Stage("reference", on, prepare=prepare, collect=self.collect, finish=self.refuse_few)
        yield Stage("ranks", on, collect=self.rank, finish=self.estimate_rate)

    def collect(self, batches: Batches) -> None:
        batch = batches["unlabelled"]
        found, seen = self.maps(batch.images), int(self.seen)
        for level, own in enumerate(self._levels()):
            kept = self.positions[level]
            patches = self._patches(found, batch.valid, level)[:, :, kept]
            valid = self.maps.valid(batch.valid, level)
            everywhere = torch.ones(patches[:, 0, :, 0].shape, dtype=torch.bool, device=patches.device)
            own.keep(patches, everywhere if valid is None else valid.flatten(1)[:, kept], seen, self.most)
        numbers = [self.numbers.setdefault(patient, len(self.numbers)) for patient in batch.patients]
        for name, rows in (
            ("digests", torch.tensor([_number(digest) for digest in batch.digests])),
            ("patients", torch.tensor(numbers)),
            ("likeness", _direction(found[-1])),
        ):
            bank = getattr(self, name)
            kept_rows, after = add_to_reservoir(bank, seen, rows.to(bank), self.most)
            setattr(self, name, kept_rows)
            self.seen.fill_(after)

    def refuse_few(self) -> None:
        """UserError where the reference is of fewer than three patients."""
        count = len(self.patients.unique())
        if count < FEWEST:
            raise UserError(
                f"mutual-scoring needs unlabelled images of at least {FEWEST} patients, and there are images "
                f"of {count}; add unlabelled rows, or mend their patient_id"
            )
        self.numbers = {}
        self.scores = torch.full((len(self.digests),), torch.nan, device=self.digests.device)

    def rank(self, batches: Batches) -> None:
        """The reference's own scores, each without its patient."""
        batch = batches["unlabelled"]
        found = self.maps(batch.images)
        for row, digest in enumerate(batch.digests):
            itself = self.digests == _number(digest)
            if itself.any():
                self.scores[itself], anomaly_map = self._alone(found, batch, row, itself)
                valid = None if batch.valid is None else batch.valid[row : row + 1]
                self.means.append(mean_over(anomaly_map, valid)[0])

    def estimate_rate(self) -> None:
        self.anomaly_rate.fill_(upper_share(torch.stack(self.means)))
        self.means = []

    def why_no_graph(self) -> str | None:
        return "leaves the reference images of an image's own patient out, whom it knows by the file's digest"

    def score(self, batch: Batch, noise: ScoringNoise, *, maps: bool) -> Scores:
        found = self.maps(batch.images)
        values, shown = [], []
        for row in range(len(batch)):
            itself = torch.zeros_like(self.digests, dtype=torch.bool)
            if batch.digests:
                itself = self.digests == _number(batch.digests[row])
            value, anomaly_map = self._alone(found, batch, row, itself)
            if self.settings.rescoring > 1:
                others = ~self._of_patient(itself)
                likeness = self.likeness[others] @ _direction(found[-1][row : row + 1])[0]
                value = smoothed_score(value, likeness, self.scores[others], self.settings.rescoring)
            values.append(value)
            shown.append(anomaly_map)
        return self.one_part(torch.stack(values), torch.cat(shown) if maps else None)

    def notes(self) -> tuple[str, ...]:
        kept = len(self.digests)
        told = [f"mutual-scoring assumes that most patients have no finding; {self._said()}"]
        if kept < min(int(self.seen), self.settings.images):
            told.append(f"mutual-scoring keeps {kept} images as its reference, as many as memory allows")
        return tuple(told)

    def warnings(self) -> tuple[str, ...]:
        if not float(self.anomaly_rate) > self.settings.warn_above:
            return ()
        return (
            f"mutual-scoring assumes that most patients have no finding, and {self._said()}: a finding that "
            f"more than about {percent(self.settings.share, 0)} of the patients have counts as normal; add "
            "unlabelled images among which findings are rarer",
        )

    @classmethod
    def tiny(cls, rank: int) -> Tiny:
        settings = MutualScoringSettings(
            encoder=EncoderSettings(name="squeezenet1_1", weights="random"),
            strides=(8, 16),
            neighbourhoods=(1, 3),
            standardise="channel",
            images=6,
            rescoring=2,
            smoothing=1.0,
        )
        stages = {name: StageSettings(batch_size=8) for name in ("reference", "ranks")}
        return Tiny(settings, 1, (32, 32) if rank == 2 else (8, 32, 32), stages)

    def _said(self) -> str:
        rate = float(self.anomaly_rate)
        if rate != rate:
            return "there are too few unlabelled images to estimate how many stand out"
        return f"by their scores an estimated {percent(rate, 0)} of the unlabelled images stand out"

    def _levels(self) -> list[MutualReference]:
        return [level for level in self.levels if isinstance(level, MutualReference)]

    def _of_patient(self, itself: Tensor) -> Tensor:
        """Which reference images are of the same patient as these, `[n]`."""
        return torch.isin(self.patients, self.patients[itself])

    def _patches(self, found: tuple[Tensor, ...], valid: Tensor | None, level: int) -> Tensor:
        """x of one level, `[N, neighbourhoods, positions, C]` float32."""
        h = self.normalised.normalised(found[level], level)
        if self.settings.standardise == "map":
            h = standardised_over(h, self.maps.valid(valid, level))
        forms = [neighbourhood_mean(h, side) for side in self.settings.neighbourhoods]
        return functional.normalize(torch.stack(forms, dim=1).flatten(3).transpose(2, 3), dim=3)

    def _alone(
        self, found: tuple[Tensor, ...], batch: Batch, row: int, itself: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Of one image its score `[]`, before re-scoring, and map `[1, 1, *size]`."""
        valid = None if batch.valid is None else batch.valid[row : row + 1]
        own = tuple(h[row : row + 1] for h in found)
        left_out = self._of_patient(itself)
        shown = []
        for level, reference in enumerate(self._levels()):
            patches = self._patches(own, valid, level)[0]
            scores = reference(patches, self.patients, left_out, self.settings.share, self.cells[level])
            shown.append((level, scores.view(1, 1, *self.maps.grids[level])))
        anomaly_map = self.maps.mean(shown, smoothing=self.settings.smoothing, valid=valid)
        return self.settings.pooled(anomaly_map, valid)[0], anomaly_map


def _number(digest: str) -> int:
    """The first 64 bits of a hexadecimal digest, as a signed integer."""
    return int.from_bytes(bytes.fromhex(digest[:16]), "big", signed=True)


def _direction(last: Tensor) -> Tensor:
    """The mean of maps `[N, C, *S]` over their positions, of unit length: `[N, C]` float32."""
    return functional.normalize(last.float().flatten(2).mean(dim=2), dim=1)


def _thinned(grid: tuple[int, ...], step: int) -> Tensor:
    """The numbers of the positions of a flattened grid of which every `step`-th per axis is kept."""
    places = torch.arange(torch.Size(grid).numel(), device="cpu").view(grid)
    for axis, length in enumerate(grid):
        places = places.index_select(
            axis, torch.arange(min(step // 2, length - 1), length, step, device="cpu")
        )
    return places.flatten()
