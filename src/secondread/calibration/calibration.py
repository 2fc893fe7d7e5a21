"""From raw scores to decisions: mixing on validation normals, conformal p-values on calibration normals."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from secondread.calibration.calibration_settings import CalibrationSettings
from secondread.calibration.calibration_state import FORMAT, fields_of
from secondread.calibration.complexity_difference import complexity_difference, complexity_of
from secondread.calibration.complexity_line import ComplexityLine
from secondread.calibration.conformal import Conformal, tolerance
from secondread.calibration.gathered_scores import GatheredScores
from secondread.calibration.map_mixture import CalibratedMaps
from secondread.calibration.part_mixture import PartMixture, refuse_complexity_unmixed, require_finite
from secondread.calibration.raw_scores import Floats, RawScores
from secondread.calibration.studies import study_scores
from secondread.errors import UserError
from secondread.postprocessing.map_processing import MapProcessing
from secondread.wording.numbers import count, rate
from secondread.wording.short import shortened

if TYPE_CHECKING:
    from secondread.detectors.contract import Mixture


@dataclass(frozen=True)
class Calibration:
    """What turns a detector's raw scores into a score, a p-value and a flag.

    mixture           parts to the score, scaled on validation normals
    adjusted          the same where complexity is taken out; None without complexity
    line              complexity: residual, its line
    maps              map parts to the map; None where the detector gives none
    processing        what was done with map parts before, and is done with the map after; None = nothing
    images, studies   conformal calibration per image and, where calibration normals have study ids,
                      per study (its score is the largest of its images')
    of_unlabelled     the fit had no normal: `mixture` and `maps` are scaled on unlabelled images
    """

    settings: CalibrationSettings
    mixture: PartMixture
    adjusted: PartMixture | None
    line: ComplexityLine | None
    maps: CalibratedMaps | None
    images: Conformal
    studies: Conformal | None
    validation_images: int
    without_patient: int
    images_per_study: float | None
    recalibrated: bool = False
    of_unlabelled: bool = False
    processing: MapProcessing | None = None

    def __repr__(self) -> str:
        if not self.decides:
            return f"<Calibration on no normal: parts {shortened(', '.join(self.mixture.parts), 80)}>"
        return (
            f"<Calibration on {count(self.images.scores.size, 'normal')} of "
            f"{count(self.images.patients, 'patient')}: "
            f"{f'threshold {self.threshold:.4g}' if self.flags_images else 'too few'} for a false-alarm rate "
            f"of {rate(self.settings.false_alarm_rate)}, "
            f"parts {shortened(', '.join(self.mixture.parts), 80)}>"
        )

    @classmethod
    def fit(
        cls,
        validation: RawScores | GatheredScores,
        calibration: RawScores | GatheredScores,
        *,
        mixture: Mixture,
        map_mixture: Mixture | None = None,
        settings: CalibrationSettings | None = None,
        calibration_patients: Sequence[Hashable | None] | None = None,
        calibration_studies: Sequence[str | None] | None = None,
        of_unlabelled: bool = False,
        processing: MapProcessing | None = None,
    ) -> Self:
        """Scale and mix on `validation` normals; p-values and thresholds from `calibration` normals.

        Either cohort comes as RawScores or, so that no map is kept, as GatheredScores (which hold
        patients and studies themselves). Map statistics come from `map_mixture`'s parts where both
        are given; a detector with a map mixture whose scores came without maps gets no map rule. An
        image without a patient counts as a patient of its own, which `description.describe` says. Where a fit
        has no normal, `validation` are its unlabelled images (`of_unlabelled`), and `calibration` is empty.
        `processing` is what the maps have been through.

        Raises UserError where there is no validation normal, or weights name an unknown part;
        ValueError, with the index, where a score is not finite.
        """
        settings = settings or CalibrationSettings()
        scaling, held_out = (
            _gathered(validation, settings),
            _gathered(calibration, settings, calibration_patients, calibration_studies),
        )
        if not len(scaling):
            raise UserError("there is no validation normal: parts cannot be scaled; raise cohorts.validation")
        weights = settings.part_weights if settings.part_weights is not None else dict(mixture.weights)
        raw = scaling.raw
        plain = PartMixture.fit(raw, weights, scaled=mixture.scaled)
        adjusted, line = None, None
        if settings.complexity == "difference":
            refuse_complexity_unmixed(settings, weights)
            adjusted = PartMixture.fit(complexity_difference(raw, settings), weights, scaled=mixture.scaled)
        elif settings.complexity == "residual":
            line = ComplexityLine.fit(complexity_of(raw), plain.combine(raw))
        maps = None
        if map_mixture is not None and scaling.maps.pixels:
            maps = CalibratedMaps.fit(scaling.maps, map_mixture.weights, settings, scaled=map_mixture.scaled)
        fitted = cls(
            settings=settings,
            mixture=plain,
            adjusted=adjusted,
            line=line,
            maps=maps,
            images=Conformal.fit([], []),
            studies=None,
            validation_images=len(scaling),
            without_patient=0,
            images_per_study=None,
            of_unlabelled=of_unlabelled,
            processing=processing,
        )
        return fitted._calibrated(held_out)

    def recalibrate(
        self,
        calibration: RawScores | GatheredScores,
        *,
        patients: Sequence[Hashable | None] | None = None,
        studies: Sequence[str | None] | None = None,
        false_alarm_rate: float | None = None,
    ) -> Self:
        """The same score scale, colour scale and map rule, with p-values and thresholds (image, study,
        pixel) redone from normals of another site, or for another rate.

        Without maps in `calibration` the pixel threshold of the former site is dropped, not kept.
        """
        settings = self.settings if false_alarm_rate is None else self.at(false_alarm_rate).settings
        cleared = None if self.maps is None else replace(self.maps, threshold=None)
        same = replace(self, settings=settings, maps=cleared, recalibrated=True)
        return same._calibrated(_gathered(calibration, settings, patients, studies))

    def at(self, false_alarm_rate: float) -> Self:
        """The same p-values, with thresholds of images and studies for another rate. The pixel threshold
        stays: pixels of calibration maps are not kept."""
        settings = {**self.settings.model_dump(), "false_alarm_rate": false_alarm_rate}
        return replace(self, settings=CalibrationSettings.model_validate(settings))

    def _calibrated(self, normals: GatheredScores) -> Self:
        scores = self.combine(normals.raw) if len(normals) else np.zeros(0)
        ties = tolerance(scores, self._size(normals.raw)) if len(normals) else 0.0
        studies, per_study = None, None
        if any(study is not None for study in normals.studies):
            grouped = study_scores(scores, normals.studies, normals.patients)
            studies = Conformal.fit(grouped.scores, grouped.patients, tolerance=ties)
            per_study = float(grouped.images.mean())
        maps = self.maps
        if maps is not None and normals.maps.pixels:
            maps = maps.with_threshold(normals.maps, self.settings.pixel_false_alarm_rate)
        return replace(
            self,
            maps=maps,
            images=Conformal.fit(scores, normals.patients, tolerance=ties),
            studies=studies,
            without_patient=sum(patient is None for patient in normals.patients),
            images_per_study=per_study,
        )

    def combine(self, raw: RawScores) -> Floats:
        """Scores `[n]`, higher = more abnormal, each from its own image alone.

        ValueError names the image whose score is not finite (`RawScores.finite` finds them first).
        """
        if self.adjusted is not None:
            return self.adjusted.combine(complexity_difference(raw, self.settings))
        scores = self.mixture.combine(raw)
        if self.line is None:
            return scores
        adjusted = self.line.residual(complexity_of(raw), scores)
        require_finite(adjusted, "the score of image")
        return adjusted

    def _size(self, raw: RawScores) -> float:
        """How large the numbers are of which the scores are made, in the scores' unit."""
        size = (self.adjusted or self.mixture).size(raw)
        return size if self.line is None else size / self.line.sd

    def combine_without_complexity(self, raw: RawScores) -> Floats:
        """The score as it would be with `complexity: none`, to be shown beside it."""
        return self.mixture.combine(raw)

    @property
    def decides(self) -> bool:
        """Whether normals have calibrated it; else there are scores alone, and no p-value or flag means
        anything."""
        return self.images.patients > 0

    @property
    def flags_images(self) -> bool:
        """Whether there are normals enough for the chosen false-alarm rate; else there are no decisions and
        no promise."""
        return math.isfinite(self.threshold)

    @property
    def flags_studies(self) -> bool:
        """The same of studies."""
        return self.study_threshold is not None and math.isfinite(self.study_threshold)

    def p_values(self, scores: ArrayLike) -> Floats:
        """Conformal p-values of image scores; see `Conformal.p_values`."""
        return self.images.p_values(scores)

    @property
    def threshold(self) -> float:
        """Image scores at or above it are flagged; +inf where there are too few normals for the rate."""
        return self.images.threshold(self.settings.false_alarm_rate)

    def flag(self, scores: ArrayLike) -> NDArray[np.bool_]:
        """`[n]`, True where the p-value is at most the chosen rate: nowhere unless `flags_images`."""
        values = np.asarray(scores, dtype=np.float64)
        require_finite(values, "the score of image")
        return values >= self.threshold

    def study_p_values(self, scores: ArrayLike) -> Floats:
        """Conformal p-values of study scores (`study_scores`). ValueError without study calibration."""
        if self.studies is None:
            raise ValueError("the calibration normals had no study ids, so studies have no p-value")
        return self.studies.p_values(scores)

    @property
    def study_threshold(self) -> float | None:
        """Study scores at or above it are flagged; None where calibration normals had no study ids."""
        return None if self.studies is None else self.studies.threshold(self.settings.false_alarm_rate)

    def flag_studies(self, scores: ArrayLike) -> NDArray[np.bool_]:
        """`[m]`, the flags of study scores. ValueError without study calibration."""
        if self.study_threshold is None:
            raise ValueError("the calibration normals had no study ids, so studies cannot be flagged")
        values = np.asarray(scores, dtype=np.float64)
        require_finite(values, "the score of study")
        return values >= self.study_threshold

    def combine_maps(self, raw: RawScores) -> NDArray[np.float32]:
        """Maps `[n, *size]`, higher = more abnormal. ValueError where there are none."""
        if self.maps is None or raw.maps is None:
            raise ValueError("there are no maps to combine")
        mixed = self.maps.combine(raw.maps)
        return mixed if self.processing is None else self.processing.finish(mixed, self.map_threshold)

    @property
    def map_scale(self) -> tuple[float, float] | None:
        """Lower and upper end of the common colour scale, fixed by validation normals."""
        return None if self.maps is None else (self.maps.low, self.maps.high)

    @property
    def map_threshold(self) -> float | None:
        """Pixels at or above it are called; from calibration normals' pixels."""
        return None if self.maps is None else self.maps.threshold

    def state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """JSON and arrays from which `from_state` makes an equal calibration. No patient id is kept."""
        arrays: dict[str, NDArray[Any]] = {
            "image_scores": self.images.scores,
            "image_weights": self.images.weights,
        }
        if self.studies is not None:
            arrays |= {"study_scores": self.studies.scores, "study_weights": self.studies.weights}
        document = {
            "format": FORMAT,
            "settings": self.settings.model_dump(mode="json"),
            "mixture": asdict(self.mixture),
            "adjusted": None if self.adjusted is None else asdict(self.adjusted),
            "line": None if self.line is None else asdict(self.line),
            "maps": None if self.maps is None else asdict(self.maps),
            "patients": self.images.patients,
            "tolerance": self.images.tolerance,
            "study_patients": None if self.studies is None else self.studies.patients,
            "validation_images": self.validation_images,
            "without_patient": self.without_patient,
            "images_per_study": self.images_per_study,
            "recalibrated": self.recalibrated,
            "of_unlabelled": self.of_unlabelled,
        }
        if self.processing is not None:
            document["processing"], normal = self.processing.state()
            arrays |= normal
        return document, arrays

    @classmethod
    def from_state(cls, document: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Raises ValueError or KeyError where the state does not fit together. A state of before ties had a
        tolerance gets one from its scores."""
        return cls(**fields_of(document, arrays))

    def require_size(self, size: tuple[int, ...]) -> None:
        """ValueError where what it knows of maps is not of that size."""
        if self.processing is not None:
            self.processing.require_size(size)

    def require_parts(self, parts: Sequence[str]) -> None:
        """ValueError where the score mixes a part that is not among a detector's."""
        for mixture in (self.mixture, self.adjusted):
            for name in () if mixture is None else mixture.parts:
                if name not in parts:
                    raise ValueError(f"calibration mixes the part {name!r}, and the detector gives {parts}")


def _gathered(
    scores: RawScores | GatheredScores,
    settings: CalibrationSettings,
    patients: Sequence[Hashable | None] | None = None,
    studies: Sequence[str | None] | None = None,
) -> GatheredScores:
    if isinstance(scores, GatheredScores):
        if patients is not None or studies is not None:
            raise ValueError("gathered scores hold their own patients and studies: give those to add()")
        return scores
    gathered = GatheredScores(map_sample=settings.map_sample)
    gathered.add(scores, patients=patients, studies=studies)
    return gathered
