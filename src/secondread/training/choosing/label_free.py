"""How well the score of an epoch tells images apart, measured without a label.

    synthetic   AUROC of held-out normals against the same images with a synthetic anomaly each
    unlabelled  AUCp = AUROC of held-out normals against unlabelled images, all taken for abnormal

With a share r of abnormal images among the unlabelled ones, AUCp = r AUC + (1 - r) / 2 in expectation. So
AUCp orders epochs as the AUROC does, as far as chance lets it, and where r is known

    corrected   AUC = (AUCp - (1 - r) / 2) / r, clipped to [0, 1]

The score is the detector's own, mixed as at the fit's end: parts are folded and standardised on the held-out
normals, anew at each epoch. It is measured in eval mode, with the noise that scoring has. The images, the
anomalies and the noise are the same in every epoch. No label and no image of the test comes here.

Source of AUCp: M. M. Rahman Siddiquee et al., AUCp: pseudo-AUC for inference model selection with unlabeled
validation data in abnormality detection, 2026 (arXiv 2606.08742), which sets the unlabelled test against the
training normals. Here it is a cohort of its own against normals that nothing learned from.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from secondread.anomalies.anomaly import MakeAnomalies
from secondread.anomalies.build import build_anomalies
from secondread.calibration.part_mixture import PartMixture
from secondread.calibration.raw_scores import RawScores, concatenate
from secondread.detectors.contract import Batch, Part, Scores, ScoringNoise, Stage
from secondread.detectors.detector_settings import StageSettings
from secondread.errors import UserError
from secondread.metrics.roc import auroc
from secondread.scoring.image_source import ImageSource
from secondread.scoring.scorer import score_images
from secondread.training.batches.loading import Loader
from secondread.training.batches.stage_data import VALIDATION
from secondread.training.fit_state import Run
from secondread.training.seeds import derive_seed, seed_layers, seeded_generator

UNLABELLED = "unlabelled"
MOST_IMAGES = 300
MOST_COSTLY_IMAGES = 32
"""Of each cohort, where the recipe does not say how many; the fewer where `Detector.costly_scoring`."""
SMALLEST_BATCH = 2
"""A foreign patch comes from another image of the batch."""

Rows = list[NDArray[np.intp]]
"""Of one cohort, batch by batch."""


def refuse_missing_images(cohorts: Mapping[str, ImageSource], stages: Mapping[str, StageSettings]) -> None:
    """`UserError` where a stage measures its epochs by images that are not there, or by anomalies that do
    not exist: said before anything is trained."""
    for name, settings in stages.items():
        for rule in settings.measured:
            needed = [(VALIDATION, "held-out normals", "raise cohorts.validation")]
            if rule == UNLABELLED:
                advice = "the manifest and the recipe's cohorts section give too few"
                needed.append((UNLABELLED, "unlabelled images", advice))
            for cohort, what, advice in needed:
                count = len(cohorts[cohort]) if cohort in cohorts else 0
                if count < SMALLEST_BATCH:
                    raise UserError(
                        f"stages.{name} measures its epochs by {what} ({rule}), and there are {count}; "
                        f"{advice}, or take {rule} out of keep and watch"
                    )
            if rule == "synthetic":
                anomalies_of(name, settings)


def anomalies_of(stage: str, settings: StageSettings) -> MakeAnomalies:
    """As `measure.anomalies` says, in every image unless it says otherwise."""
    return build_anomalies({"share": 1.0, **settings.measure.anomalies}, f"stages.{stage}.measure.anomalies")


@dataclass(frozen=True)
class Measure:
    """What `keep` and `watch` of a stage look at.

    make  of the synthetic anomalies; None where they are not asked for
    """

    run: Run
    stage: Stage
    settings: StageSettings
    loader: Loader
    rows: Mapping[str, Rows]
    make: MakeAnomalies | None

    @classmethod
    def of(cls, run: Run, stage: Stage, settings: StageSettings) -> Measure:
        """For a stage; `refuse_missing_images` has passed."""
        rules = settings.measured
        names = [VALIDATION, UNLABELLED] if UNLABELLED in rules else [VALIDATION] if rules else []
        sources = {name: run.cohorts[name] for name in names}
        costly = run.detector.costly_scoring and stage.score is None
        most = settings.measure.images or (MOST_COSTLY_IMAGES if costly else MOST_IMAGES)
        rows = {name: _drawn(len(source), most, settings, run.seed, name) for name, source in sources.items()}
        if rules and costly:
            few = {"images of each cohort that compare epochs, scoring being costly": float(most)}
            run.log.stages[-1].figures.update(few)
            run.progress.figures(stage.name, few)
        make = anomalies_of(stage.section, settings) if "synthetic" in rules else None
        return cls(run, stage, settings, Loader(sources, run.fabric.device), rows, make)

    def due(self, epoch: int, *, last: bool) -> bool:
        """Whether the epoch (from 0) is to be measured."""
        return bool(self.rows) and (last or (epoch + 1) % self.settings.measure.every == 0)

    def __call__(self) -> dict[str, float | None]:
        """The values of the detector as it is now, by rule; None where a score is not finite, or no image
        could be changed. Process 0 measures, for all."""
        found: dict[str, float | None] = {}
        if self.run.fabric.is_global_zero:
            self.run.detector.eval()
            seed_layers(self.run.fabric.device, self.run.seed, self.stage.name, "measure")
            found = self._values()
        return self.run.fabric.broadcast(found)

    @torch.no_grad()
    def _values(self) -> dict[str, float | None]:
        normals, changed, kept = [], [], []
        for number, (batch, digests) in enumerate(self._batches(VALIDATION)):
            normals.append(self._raw(batch, digests))
            if self.make is not None:
                generator = seeded_generator(self.run.seed, self.stage.name, "anomalies", number)
                made = self.make(batch.images, generator, valid=batch.valid)
                changed.append(self._raw(Batch(made.images, batch.valid), digests))
                kept.append((made.images != batch.images).flatten(1).any(dim=1).cpu().numpy())
        normal = concatenate(normals)
        found: dict[str, float | None] = {}
        if self.make is not None:
            found["synthetic"] = self._auroc(normal, concatenate(changed).select(np.concatenate(kept)))
        if UNLABELLED in self.rows:
            others = concatenate([self._raw(*batch) for batch in self._batches(UNLABELLED)])
            found[UNLABELLED] = self._auroc(normal, others)
            if self.settings.measure.anomaly_rate is not None:
                found["corrected"] = corrected(found[UNLABELLED], self.settings.measure.anomaly_rate)
        return found

    def _batches(self, cohort: str) -> Iterator[tuple[Batch, list[str]]]:
        digests = self.run.cohorts[cohort].digests
        planned = self.rows[cohort]
        loaded = self.loader.batches({cohort: rows} for rows in planned)
        for rows, batch in zip(planned, loaded, strict=True):
            yield batch[cohort], [digests[row] for row in rows]

    def _raw(self, batch: Batch, digests: list[str]) -> RawScores:
        own = self.stage.score

        def score(images: Batch, noise: ScoringNoise) -> Scores:
            if own is None:
                return self.run.detector.score(images, noise, maps=False)
            return Scores({"score": Part(own(images, noise))})

        device = self.run.fabric.device
        return score_images(score, batch, digests, device=device, precision=self.run.precision)

    def _auroc(self, normal: RawScores, others: RawScores) -> float | None:
        if not len(others) or not (normal.finite.all() and others.finite.all()):
            return None
        own = self.run.detector.mixture() if self.stage.score is None else None
        weights, scaled = ({"score": 1.0}, False) if own is None else (own.weights, own.scaled)
        mixture = PartMixture.fit(normal, weights, scaled=scaled)
        labels = np.repeat([False, True], [len(normal), len(others)])
        return auroc(labels, np.concatenate([mixture.combine(normal), mixture.combine(others)]))


def corrected(aucp: float | None, anomaly_rate: float) -> float | None:
    """The AUROC that an AUCp stands for, where a share `anomaly_rate` of the unlabelled is abnormal."""
    if aucp is None:
        return None
    return float(np.clip((aucp - (1 - anomaly_rate) / 2) / anomaly_rate, 0.0, 1.0))


def _drawn(count: int, most: int, settings: StageSettings, seed: int, cohort: str) -> Rows:
    """At most `most` of `count` rows."""
    rng = np.random.default_rng(derive_seed(seed, "measure", cohort))
    return in_batches(np.sort(rng.permutation(count)[:most]), settings.batch_size)


def in_batches(rows: NDArray[np.intp], batch_size: int) -> Rows:
    """In order, in batches of `batch_size` or a little more, and of at least two where there are two."""
    return np.array_split(rows, max(1, len(rows) // max(SMALLEST_BATCH, batch_size)))
