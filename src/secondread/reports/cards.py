"""The data card and the model card: where the figures come from, in rows of a name and a text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from secondread.cohorts.remarks import remarked
from secondread.evaluation.evaluation import Evaluation
from secondread.evaluation.packed_cases import PackedCases
from secondread.readings.score_record import EpochRecord, StageRecord
from secondread.wording.commands import shown_command
from secondread.wording.numbers import NOTHING, count, plain

Rows = tuple[tuple[str, str], ...]
MOST_VALUES = 8
FACTS = {
    "Modality": (("modality",), ""),
    "Manufacturer": (("manufacturer",), ""),
    "Size": (("slices", "rows", "columns"), "×"),
    "Pixel type": (("mode", "bits"), ", "),
}
"""What the data card says of how images were made: the facts, and what stands between them."""


@dataclass(frozen=True)
class Stage:
    """One line of the training log."""

    name: str
    epochs: int
    chosen: str
    first: str
    last: str
    skipped: int
    seconds: float
    figures: str


@dataclass(frozen=True)
class ModelCard:
    """What the model is. `recipe` is YAML, empty where the run does not say."""

    rows: Rows
    stages: tuple[Stage, ...]
    recipe: str


def model_name(evaluation: Evaluation) -> str:
    """The recipe's title, else its detector's name, else a plain word."""
    return evaluation.readings.run.model.name or "Unnamed model"


def data_name(evaluation: Evaluation) -> str:
    """The folder that the manifest lies in, which people name after the data."""
    source = evaluation.manifest.source
    return Path(source).resolve().parent.name if source else "the given manifest"


def data_card(evaluation: Evaluation) -> Rows:
    manifest, cases = evaluation.manifest, evaluation.cases
    splits: dict[str, Counter[str]] = {}
    for row in manifest.rows:
        splits.setdefault(row.split or "(no split)", Counter())[row.label or "unlabelled"] += 1
    findings = _findings(cases.cases)
    rows = [
        ("Manifest", f"{data_name(evaluation)}/{Path(manifest.source).name}" if manifest.source else NO_FILE),
        ("Manifest digest", manifest.digest),
        ("Filter", " and ".join(evaluation.where) or "none"),
        *((f"Split {name}", _counts(labels)) for name, labels in sorted(splits.items())),
        ("Evaluated", _evaluated(evaluation)),
        ("Patients", _patients(evaluation)),
        ("Findings", _counts(findings) or "none named"),
        ("Left out", _left_out(evaluation)),
    ]
    rows += [(name, text) for name, text in _facts(evaluation).items() if text]
    told = remarked(cases.cases.remarks())
    if told:
        rows.append(("Remarks", "; ".join(f"{one.example} ({len(one.paths):,})" for one in told)))
    return tuple(rows)


def _findings(cases: PackedCases) -> Counter[str]:
    """Of abnormal images, in the order of their first."""
    cell, told = cases.findings()
    found: Counter[str] = Counter()
    for at, times in Counter(cell[cases.abnormal].tolist()).items():
        for finding in told[at]:
            found[finding] += times
    return found


NO_FILE = "given in memory"


def _evaluated(evaluation: Evaluation) -> str:
    images = evaluation.images
    text = f"{count(images.normal, 'normal image')}, {images.abnormal:,} abnormal"
    if evaluation.studies is not None:
        text += f"; {count(len(evaluation.studies.units), 'study', 'studies')}"
    return text


def _patients(evaluation: Evaluation) -> str:
    known, without = evaluation.cases.cases.patients, evaluation.cases.cases.without_patient
    if not known:
        return "no patient ids: every image counts as a patient of its own"
    return f"{len(known):,}" + (f", and {count(without, 'image')} without a patient id" if without else "")


def _left_out(evaluation: Evaluation) -> str:
    cases = evaluation.cases
    parts = [
        (len(cases.failures), "without a score (listed)"),
        (cases.unlabelled, "unlabelled test rows"),
        (cases.other_rows, "rows of other splits"),
        (cases.strangers, "readings that the manifest does not name"),
    ]
    return ", ".join(f"{number:,} {what}" for number, what in parts if number) or "nothing"


def _counts(values: Mapping[str, int]) -> str:
    ranked = sorted(values.items(), key=lambda pair: (-pair[1], pair[0]))
    text = ", ".join(f"{number:,} {name}" for name, number in ranked[:MOST_VALUES])
    return text if len(ranked) <= MOST_VALUES else f"{text} and {len(ranked) - MOST_VALUES} further"


def _facts(evaluation: Evaluation) -> dict[str, str]:
    """How images were made, in words, the commonest first."""
    seen: dict[str, Counter[str]] = {name: Counter() for name in FACTS}
    acquisition = evaluation.readings.acquisition
    for path in evaluation.cases.cases.paths_read:
        fact = acquisition.get(path, {})
        for name, (keys, between) in FACTS.items():
            values = [_worded(key, fact[key]) for key in keys if fact.get(key)]
            if text := between.join(value for value in values if value):
                seen[name][text] += 1
    return {name: _commonest(counted) for name, counted in seen.items()}


def _commonest(seen: Counter[str]) -> str:
    ranked = seen.most_common(4)
    text = ", ".join(f"{value} ({number:,})" for value, number in ranked)
    return text if len(seen) <= 4 else f"{text} and {len(seen) - 4} further"


def _worded(key: str, value: str) -> str:
    """Whole numbers without `.0`; bits say so; a 2-D image names no slice."""
    whole = value.removesuffix(".0")
    if key == "slices" and whole == "1":
        return ""
    return f"{whole} bit" if key == "bits" else whole


def model_card(evaluation: Evaluation) -> ModelCard:
    run = evaluation.readings.run
    about, detector, fitted = run.model.about, run.model.detector, run.provenance
    rows = [
        ("Model", model_name(evaluation)),
        ("Detector", detector.name),
        ("Paper", about.paper),
        ("State", about.state),
        ("Needs", plain(about.needs)),
        ("Differences from the paper", " ".join(about.differences)),
        ("Fitted", fitted.created),
        ("Seed", plain(run.seed)),
        ("Cohorts", plain(fitted.cohorts)),
        (
            "Taken for normal in the fit",
            f"{fitted.taken_for_normal:,} unlabelled images" if fitted.taken_for_normal else "",
        ),
        ("Unreadable in the fit", plain(fitted.unreadable)),
        ("Fit's manifest", fitted.manifest_digest),
        ("Pretrained weights", plain(fitted.weights)),
        ("Device, precision", plain([text for text in (fitted.device, fitted.precision) if text])),
        ("Seconds", plain(fitted.seconds)),
        ("Notes of the fit", " ".join(fitted.training.notes)),
        ("Steps skipped as non-finite", str(fitted.training.skipped)),
        ("Bundle digest", plain(run.digests.bundle)),
        ("Versions", plain(fitted.versions or run.versions)),
        ("Scored with", shown_command(run.command or ())),
        ("Patients shared with the test", "allowed" if run.allow_shared_patients else "refused"),
        ("Recalibrated", plain(fitted.recalibrated)),
    ]
    return ModelCard(
        rows=tuple((name, text) for name, text in rows if text and text != NOTHING),
        stages=tuple(_stage(stage) for stage in fitted.training.stages),
        recipe=yaml.safe_dump(run.recipe, sort_keys=False, allow_unicode=True) if run.recipe else "",
    )


def _stage(stage: StageRecord) -> Stage:
    def losses(epoch: EpochRecord) -> str:
        text = plain(epoch.losses)
        return text if epoch.validation is None else f"{text}; validation {plain(epoch.validation)}"

    return Stage(
        name=stage.name,
        epochs=len(stage.epochs),
        chosen=NOTHING if stage.chosen_epoch is None else f"{stage.chosen_epoch + 1} ({stage.rule})",
        first=losses(stage.epochs[0]) if stage.epochs else NOTHING,
        last=losses(stage.epochs[-1]) if stage.epochs else NOTHING,
        skipped=stage.skipped,
        seconds=stage.seconds,
        figures=plain(stage.figures),
    )
