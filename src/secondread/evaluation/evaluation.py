"""Everything that can be said of a run on test rows, in one object."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from secondread.cohorts.manifest import Manifest
from secondread.evaluation.cases import Cases
from secondread.evaluation.comparisons import Baseline, Complexity
from secondread.evaluation.estimates import Resampling
from secondread.evaluation.groups import Group
from secondread.evaluation.levels import Level
from secondread.evaluation.metrics_document import (
    background_document,
    complexity_document,
    full,
    group_document,
    level_document,
    pair,
    part_document,
    pixel_document,
)
from secondread.evaluation.overview import overview
from secondread.evaluation.parts import Background, PartEvaluation
from secondread.evaluation.pixels import PixelEvaluation
from secondread.evaluation.shortcut import Shortcut
from secondread.evaluation.warnings import Warning
from secondread.readings.readings import Readings
from secondread.version import __version__
from secondread.wording.numbers import count, number, span


@dataclass(frozen=True)
class Evaluation:
    """What `metrics.json` and the report are made from.

    cases            who took part, and who did not, with reasons
    shared_patients  test patients that the fit saw; empty unless it was allowed to share
    studies          None where no row has a study id, or every study is one image
    pixels           None where no abnormal image has a mask
    complexity       None where the run's calibration had no complexity part
    parts            the detector's raw parts, in the table's order
    background       None where the detector gives no part of that name

    >>> import secondread
    >>> manifest = secondread.make_phantoms("phantoms", seed=0, n_normal=50, n_abnormal=10)
    >>> bundle = secondread.fit("spectrum", manifest, "bundle", workers=0, progress=False)
    >>> readings = secondread.score(bundle, manifest, where=["split=test"], workers=0)
    >>> found = secondread.evaluate(readings, manifest, bootstrap=50, workers=0).metrics()
    >>> 0 <= found["auroc"] <= 1
    True
    """

    readings: Readings
    manifest: Manifest
    cases: Cases
    shared_patients: tuple[str, ...]
    images: Level
    studies: Level | None
    findings: tuple[Group, ...]
    subgroups: Mapping[str, tuple[Group, ...]]
    baselines: Mapping[str, Baseline]
    complexity: Complexity | None
    parts: tuple[PartEvaluation, ...]
    background: Background | None
    shortcut: Shortcut
    pixels: PixelEvaluation | None
    prevalence: float | None
    how: Resampling
    where: tuple[str, ...]
    warnings: tuple[Warning, ...]

    def __repr__(self) -> str:
        area = self.images.auroc
        interval = f" ({span(area.interval)})" if area.interval else ""
        return (
            f"<Evaluation of {self.images.normal:,} normal and {self.images.abnormal:,} abnormal "
            f"images: AUROC {number(area.value)}{interval}; {count(len(self.warnings), 'warning')}>"
        )

    def _repr_html_(self) -> str:
        """As notebooks show it; `reports.report.write_report` writes all there is."""
        name = self.readings.run.model.name or "An unnamed model"
        where = f" where {' and '.join(self.where)}" if self.where else ""
        levels = [self.images, *([] if self.studies is None else [self.studies])]
        return overview(f"{name}{where}", levels, self.baselines, self.warnings, self.shared_patients)

    def metrics(self) -> dict[str, Any]:
        """`metrics.json`: the design's keys, and besides them counts, intervals, reasons, warnings and
        provenance; JSON-able, null (None) with a reason beside it where a figure does not exist."""
        cases, shortcut = self.cases, self.shortcut
        run = self.readings.run
        level = level_document(self.images)
        level["n"] |= {
            "failed": len(cases.failures),
            "unlabelled": cases.unlabelled,
            "other_rows": cases.other_rows,
            "readings_not_in_manifest": cases.strangers,
            "patients": len(set(cases.cases.groups.tolist())),
        }
        return {
            **level,
            "baselines": {
                **{name: baseline.auroc.value for name, baseline in self.baselines.items()},
                "flag_everything_f1": self.images.flag_everything_f1,
            },
            "baselines_interval": {name: pair(b.auroc) for name, b in self.baselines.items()},
            "lead_over_baselines": {name: full(b.lead) for name, b in self.baselines.items()},
            "shortcut": {
                "acquisition": shortcut.label.value,
                "score_follows_acquisition": shortcut.follows.value,
                "thumbnail_ceiling": shortcut.thumbnail.value,
                "acquisition_interval": pair(shortcut.label),
                "thumbnail_ceiling_interval": pair(shortcut.thumbnail),
                "score_r_squared": shortcut.r_squared,
                "strongest_facts": [{"fact": name, "auroc": area} for name, area in shortcut.strongest],
                "reasons": {
                    name: estimate.reason
                    for name, estimate in (
                        ("acquisition", shortcut.label),
                        ("score_follows_acquisition", shortcut.follows),
                        ("thumbnail_ceiling", shortcut.thumbnail),
                    )
                    if estimate.reason
                },
            },
            "per_finding": {group.name: group_document(group) for group in self.findings},
            "subgroups": {
                column: {group.name: group_document(group) for group in groups}
                for column, groups in self.subgroups.items()
            },
            "pixel": pixel_document(self.pixels),
            "studies": None if self.studies is None else level_document(self.studies),
            "complexity": None if self.complexity is None else complexity_document(self.complexity),
            "parts": {part.name: part_document(part) for part in self.parts},
            "background": None if self.background is None else background_document(self.background),
            "prevalence": self.prevalence,
            "shared_patients": list(self.shared_patients),
            "allow_shared_patients": run.allow_shared_patients,
            "warnings": [
                {"kind": warning.kind, "title": warning.title, "text": warning.text}
                for warning in self.warnings
            ],
            "protocol": {
                "rows": "all labelled rows" if cases.whole else "labelled rows of split test",
                "where": list(self.where),
                "intervals": "95 %; shares: Clopper and Pearson's, of the effective number of images where "
                "patients have several (Korn and Graubard); areas: bootstrap over patients on the logit "
                "scale, with fewer than 30 patients of a label reaching Newcombe's (AUROC) or Clopper and "
                "Pearson's (average precision); differences: percentiles of the bootstrap over patients",
                "bootstrap": self.how.repeats,
                "seed": self.how.seed,
                "manifest_digest": self.manifest.digest,
                "bundle_digest": run.digests.bundle,
                "fit_seed": run.seed,
                "score_command": None if run.command is None else list(run.command),
                "version": __version__,
            },
            "research_use": "research use, not a medical device",
        }
