"""Tables of made-up scores: the plan, the runs and the statistics are real, the fits never happened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from secondread.cohorts.manifest import Manifest
from secondread.cohorts.row import Row
from secondread.comparison.judging.results import Images, Results, RunResult
from secondread.comparison.judging.table import Table, make_table
from secondread.comparison.running.methods import Method
from secondread.comparison.running.one_run import Cost
from secondread.comparison.running.plan import Plan, Run
from secondread.comparison.writing.published import PublishedRow
from secondread.detectors.trivial import BASELINES
from secondread.evaluation.packed_cases import Case
from secondread.readings.reading import Reading
from secondread.recipes.recipe import Recipe

RATE = 0.1
STRENGTHS = {"padim": 1.6, "aeu": 0.9, "memae": 0.4}


def make_results(
    folder: Path = Path("comparison"),
    strengths: Mapping[str, float] | None = None,
    *,
    seeds: Sequence[int] = (0, 1, 2),
    normal: int = 60,
    abnormal: int = 40,
    per_patient: int = 1,
    contamination: Sequence[float] = (),
    pixels: bool = False,
    calibrated: bool = True,
    pictures: bool = False,
    missing: Mapping[Run, str] | None = None,
    reference: str = "",
) -> Results:
    """Results on images whose abnormality each method sees with its strength, its own taste and noise."""
    strengths = {**(strengths or STRENGTHS), **dict(zip(BASELINES, (0.2, 0.5, 0.3), strict=True))}
    random = np.random.default_rng(7)
    is_abnormal = np.arange(normal + abnormal) >= normal
    images = _images(folder, is_abnormal, per_patient, pictures)
    difficulty = random.normal(size=len(is_abnormal))
    recipe = Recipe.load("spectrum")
    methods = tuple(Method(name, recipe, name, trivial=name in BASELINES) for name in strengths)
    rows = tuple(
        Row(case.path, "test", "abnormal" if case.abnormal else "normal", patient_id=case.patient)
        for case in images.cases
    )
    plan = Plan(
        Manifest(rows, folder, str(folder / "manifest.csv")),
        methods, tuple(seeds), reference or methods[0].name, tuple(contamination), pixels,
    )  # fmt: skip
    missing = missing or {}
    taste = {name: random.normal(size=len(is_abnormal)) for name in strengths}
    runs = []
    for place, run in enumerate(run for run in plan.runs() if run not in missing):
        strength = strengths[run.method] * (1 - 2 * run.contamination)
        noise = random.normal(size=len(is_abnormal))
        scores = strength * is_abnormal + 0.6 * difficulty + 0.6 * taste[run.method] + 0.3 * noise
        runs.append(_run(run, scores, is_abnormal, place, pixels, calibrated))
    return Results(plan, folder, images, tuple(runs), missing)


def made_table(*arguments: object, bootstrap: int = 60, **options: object) -> Table:
    return make_table(make_results(*arguments, **options), bootstrap=bootstrap)


def published_rows() -> list[PublishedRow]:
    """Two protocols; the second has a spread, a note and signs that need care."""
    first = {"dataset": "films", "protocol": "800 normal train", "source": "A & B 2020", "read": "paper"}
    second = {
        "dataset": "films",
        "protocol": "best epoch by test_labels, 5 % kept",
        "source": "C 2021",
        "read": "secondary: D",
    }
    return [
        PublishedRow(system="AE_1", metric="auroc", value=0.6543, **first),
        PublishedRow(system="AE_1", metric="f1", value=0.5, **first),
        PublishedRow(system="[x]|y", metric="auroc", value=0.912, spread=0.004, note="no code", **second),
        PublishedRow(system="plain", metric="auroc", value=0.871, **second),
    ]


def _images(folder: Path, is_abnormal: np.ndarray, per_patient: int, pictures: bool) -> Images:
    cases = []
    for number, abnormal in enumerate(is_abnormal.tolist()):
        path = f"films/{number:03d}.png"
        if pictures:
            _draw(folder / path, number, abnormal)
        reading = Reading(path, score=0.0)
        findings = ("nodule",) if abnormal else ()
        patient = f"p{number // per_patient:03d}"
        cases.append(Case(path, str(folder / path), abnormal, reading, findings, patient))
    return Images(tuple(cases), is_abnormal, np.array([case.group for case in cases]), {})


def _draw(path: Path, number: int, abnormal: bool) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    away = np.hypot(*(np.indices((48, 40)) - np.array([24, 20])[:, None, None]))
    picture = 200 - 4 * away + 40 * np.sin(away / 3 + number) * abnormal
    Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8)).save(path)


def _run(
    run: Run, scores: np.ndarray, is_abnormal: np.ndarray, place: int, pixels: bool, calibrated: bool
) -> RunResult:
    flagged = scores >= np.quantile(scores[~is_abnormal], 1 - RATE) + 0.01 if calibrated else None
    random = np.random.default_rng(place)
    metrics = {
        "n": {"normal": int((~is_abnormal).sum()), "abnormal": int(is_abnormal.sum())},
        "specificity": None if flagged is None else float(1 - flagged[~is_abnormal].mean()),
        "f1": None if flagged is None else float(random.uniform(0.3, 0.6)),
        "warnings": [],
        "false_alarm_rate_promised": RATE if calibrated else None,
        "shortcut": {
            "score_follows_acquisition": float(random.uniform(0, 0.3)),
            "acquisition": 0.612,
            "acquisition_interval": [0.5, 0.7],
            "thumbnail_ceiling": 0.7,
        },
        "pixel": {"auroc": 0.8, "average_precision": 0.3, "pro": 0.6, "dice_oracle": 0.4}
        if pixels and run.method not in BASELINES
        else None,
    }
    seconds = 10 ** (0.5 + len(run.method) / 3) * random.uniform(0.9, 1.1)
    cost = Cost(
        train_seconds=seconds, score_seconds=0.004 + seconds / 1e5, peak_memory_bytes=900 << 20,
        gpu_memory_bytes=None, parameters=1234567, bundle_bytes=5 << 20, device="cpu", threads=1,
    )  # fmt: skip
    return RunResult(
        run, scores, flagged, metrics, cost, {"normal": 100}, frozenset({f"seed-{run.seed}"}), (),
        {"secondread": "0.1.0", "torch": "2.13"},
    )  # fmt: skip
