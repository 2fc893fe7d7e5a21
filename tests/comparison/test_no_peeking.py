"""Nothing of the test, neither labels nor images, can reach a fit, a threshold or a choice."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from torch import Tensor

from secondread.bundles.bundle import Bundle
from secondread.bundles.bundle_document import TENSOR_FILES
from secondread.cohorts.cohort_settings import CohortSettings
from secondread.cohorts.cohorts import build_cohorts
from secondread.cohorts.manifest import Manifest
from secondread.cohorts.phantoms.make import make_phantoms
from secondread.cohorts.row import Row
from secondread.detectors import DETECTORS, find
from secondread.detectors.contract import Batch, Batches, Detector, Mixture, Part, Scores, ScoringNoise, Stage
from secondread.detectors.detector_settings import DetectorSettings, StageSettings
from secondread.errors import UserError
from secondread.evaluation.evaluate import evaluate
from secondread.fitting.fit import fit
from secondread.readings.score_into import score_into
from secondread.recipes.recipe import Recipe

MADE = {"anomaly_rate": 0.5, "unlabelled": 8}
FITS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "pixel-1nn": ("pixel-1nn", {}, {}),
    "contaminated-padim": ("padim", {}, {"contamination": 0.2}),
    "density-ratio": ("density-ratio", {}, MADE),
    "few-labelled-gmm": ("glow-gmm", {}, MADE | {"labelled": {"any": 4}}),
    "ae-by-synthetic": ("ae", {"keep": "synthetic", "watch": ["synthetic"]}, {}),
    "ae-by-unlabelled": ("ae", {"keep": "unlabelled", "watch": ["synthetic", "unlabelled"]}, MADE),
    "folds": ("mean-intensity", {}, {"fold": 0}),
}
"""Name -> detector, what is set over its stages that train, cohorts."""
EVERY_CHANGE = ("ae-by-unlabelled", "folds")
"""Fits whose quick tests are not of turned labels alone: of the others the slow ones ask the rest."""
NO_CHANGE = ("ae-by-synthetic", "density-ratio")
"""Fits that are slow tests alone: others choose an epoch and take unlabelled images as they do."""

Change = Callable[[tuple[Row, ...]], list[Row]]


def flipped(rows: tuple[Row, ...]) -> list[Row]:
    turned = {"normal": "abnormal", "abnormal": "normal"}
    return [replace(row, label=turned[row.label]) for row in rows]


def shuffled(rows: tuple[Row, ...]) -> list[Row]:
    order = np.random.default_rng(5).permutation(len(rows))
    told = [rows[i] for i in order]
    assert [row.label for row in told] != [row.label for row in rows]
    return [
        replace(row, label=other.label, finding=other.finding) for row, other in zip(rows, told, strict=True)
    ]


def without_labels_or_files(rows: tuple[Row, ...]) -> list[Row]:
    return [replace(row, path=f"gone/{row.path}", label="", finding="", mask="") for row in rows]


@pytest.fixture(scope="module")
def films(tmp_path_factory) -> Manifest:
    """30 normal and 16 abnormal for training, 8 and 8 for the test; fold 0 is the test."""
    folder = tmp_path_factory.mktemp("films")
    numbers = {"n_normal": 38, "n_abnormal": 24, "n_test_normal": 8, "n_train_abnormal": 16}
    manifest = Manifest.read(make_phantoms(folder, seed=3, size=(32, 32), **numbers))
    rows = (replace(row, extra={"fold": str(int(row.split == "train"))}) for row in manifest.rows)
    return replace(manifest, rows=tuple(rows))


def recipe_of(name: str) -> Recipe:
    kind, over, cohorts = FITS[name]
    tiny = find(kind).tiny(2)
    stages = {
        stage: settings.model_dump() | (over if settings.steps or settings.epochs else {})
        for stage, settings in tiny.stages.items()
    }
    return Recipe.from_mapping(
        {
            "preprocessing": {"size": list(tiny.size), "colour": "grey" if tiny.channels == 1 else "rgb"},
            "detector": tiny.settings.model_dump(),
            "stages": stages,
            "cohorts": {"validation": 0.2, "calibration": 0.3, **cohorts},
        }
    )


def quickly(recipe: Recipe, manifest: Manifest, out: Path, cache: Path | None = None) -> Bundle:
    return fit(
        recipe, manifest, out, cache=cache or out / "../cache", workers=0, device="cpu", progress=False
    )


def without_times(log: dict[str, Any]) -> dict[str, Any]:
    epochs = [without_times(epoch) for epoch in log.get("epochs", [])]
    return {name: value for name, value in log.items() if "second" not in name} | {"epochs": epochs}


def produced(bundle: Bundle) -> dict[str, Any]:
    """All that a fit gave, apart from times, the manifest's own digest and the key that hashes patients."""
    folder = Path(bundle.path or "")
    said = json.loads((folder / "bundle.json").read_text())
    seen = json.loads((folder / "seen.json").read_text())
    stages = [without_times(log) for log in said["provenance"]["training"]["stages"]]
    return {
        **{name: (folder / name).read_bytes() for name in TENSOR_FILES},
        **{name: said[name] for name in ("recipe", "preprocessing", "calibration", "companions", "parts")},
        "stages": stages,
        "cohorts": said["provenance"]["cohorts"],
        "images": seen["images"],
    }


@pytest.fixture(scope="module")
def honest(films: Manifest, tmp_path_factory) -> Callable[[str], tuple[dict[str, Any], Path]]:
    """What each fit produces on the films as they are, and the cache of prepared images."""
    cache = tmp_path_factory.mktemp("cache")
    found: dict[str, dict[str, Any]] = {}

    def of(name: str) -> tuple[dict[str, Any], Path]:
        if name not in found:
            out = tmp_path_factory.mktemp(name) / "bundle"
            found[name] = produced(quickly(recipe_of(name), films, out, cache))
        return found[name], cache

    return of


@pytest.mark.parametrize(
    ("name", "change"),
    [
        pytest.param(name, change, id=f"{name}-{change.__name__}", marks=[] if quick else [pytest.mark.slow])
        for name in FITS
        for change in (flipped, shuffled, without_labels_or_files)
        for quick in [name not in NO_CHANGE and (change is flipped or name in EVERY_CHANGE)]
    ],
)
def test_no_label_or_file_of_the_test_changes_a_byte_of_a_fit(
    name: str, change: Change, films: Manifest, honest, tmp_path: Path
) -> None:
    test = tuple(row for row in films.rows if row.split == "test")
    train = [row for row in films.rows if row.split == "train"]
    rows = (*train, *change(test))
    if FITS[name][2].get("fold") is not None:
        rows = tuple(replace(row, split="") for row in rows)
    changed = replace(films, rows=rows)
    assert changed.digest != films.digest
    expected, cache = honest(name)
    assert produced(quickly(recipe_of(name), changed, tmp_path / "bundle", cache)) == expected


def test_the_comparison_of_fits_sees_a_label_of_the_training_images(
    films: Manifest, honest, tmp_path
) -> None:
    """So that the equality above means something."""
    training = [row for row in films.rows if row.split == "train"]
    last = max(index for index, row in enumerate(training) if row.label == "normal")
    training[last] = replace(training[last], label="abnormal")
    rows = (*training, *(row for row in films.rows if row.split == "test"))
    expected, cache = honest("pixel-1nn")
    assert (
        produced(quickly(recipe_of("pixel-1nn"), replace(films, rows=rows), tmp_path / "b", cache))
        != expected
    )


class PeekingSettings(DetectorSettings):
    learns_from: str = "test"
    asks_for: str = ""


class Peeking(Detector):
    """Learns from whatever cohort its settings name."""

    Settings = PeekingSettings

    def __init__(
        self, settings: PeekingSettings, channels: int, size: tuple[int, ...], *, pretrained: bool = True
    ) -> None:
        super().__init__(settings, channels, size, pretrained=pretrained)
        self.learns_from = settings.learns_from
        self.uses = frozenset({settings.asks_for} - {""})

    def stages(self) -> Iterator[Stage]:
        yield Stage("peek", on={"normal": 0.5, self.learns_from: 0.5}, collect=self.collect)

    def collect(self, batches: Batches) -> None:
        raise AssertionError("something was learned")

    def score(self, batch: Batch, noise: ScoringNoise, *, maps: bool) -> Scores:
        values: Tensor = batch.images.flatten(1).mean(1)
        return Scores({"mean": Part(values)})

    def mixture(self) -> Mixture:
        return Mixture({"mean": 1.0})


def peeking(**settings: str) -> Recipe:
    detector = {"name": "peeking", **settings}
    return Recipe.from_mapping({"preprocessing": {"size": [32, 32]}, "detector": detector})


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "stage peek of detector peeking asks for the cohort 'test'"),
        ({"learns_from": "calibration"}, "stage peek of detector peeking asks for the cohort 'calibration'"),
        ({"learns_from": "validation"}, "stage peek of detector peeking asks for the cohort 'validation'"),
        ({"learns_from": "unlabelled", "asks_for": "test"}, "detector peeking asks for the cohort 'test'"),
    ],
)
def test_a_detector_that_asks_for_the_test_is_refused_before_an_image_is_read(
    settings: dict[str, str], said: str, films: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(DETECTORS.built_in, "peeking", __name__)
    gone = replace(films, rows=tuple(replace(row, path=f"gone/{row.path}") for row in films.rows))
    with pytest.raises(UserError, match=f"{said}; a detector learns from normal, unlabelled, abnormal"):
        quickly(peeking(**settings), gone, tmp_path / "bundle")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "section",
    [
        {"cohorts": {"test": 0.5}},
        {"cohorts": {"validation": "test"}},
        {"cohorts": {"labels": ["test"]}},
        {"calibration": {"cohort": "test"}},
        {"stages": {"train": {"keep": "test"}}},
        {"stages": {"train": {"keep": "labels"}}},
        {"stages": {"train": {"keep": "abnormal"}}},
        {"stages": {"train": {"watch": ["test"]}}},
        {"stages": {"train": {"on": {"test": 1.0}}}},
        {"stages": {"train": {"measure": {"cohort": "test"}}}},
    ],
    ids=str,
)
def test_a_recipe_that_names_the_test_is_refused(section: dict[str, Any]) -> None:
    values = {"preprocessing": {"size": [32, 32]}, "detector": {"name": "spectrum"}}
    Recipe.from_mapping(values)
    with pytest.raises(UserError, match=next(iter(section))):
        Recipe.from_mapping(values | section)


@pytest.mark.parametrize("rule", ["test", "auroc", "labels", "best"])
def test_no_rule_beside_the_two_without_labels_can_be_watched(rule: str) -> None:
    with pytest.raises(ValidationError, match="watch"):
        StageSettings(watch=(rule,))


@pytest.mark.parametrize("where", ["split=test", "label=abnormal"])
def test_a_filter_cannot_bring_the_test_in(where: str, films: Manifest) -> None:
    with pytest.raises(UserError, match="there is nothing to learn from"):
        build_cohorts(films, CohortSettings(where=(where,)), 0)


@pytest.mark.parametrize("column", ["patient_id", "study_id"])
def test_a_patient_on_both_sides_is_refused_by_name(column: str, films: Manifest, tmp_path: Path) -> None:
    rows = [replace(row, patient_id="") if column == "study_id" else row for row in films.rows]
    who = next(getattr(row, column) for row in rows if row.split == "train")
    at = next(index for index, row in enumerate(rows) if row.split == "test")
    rows[at] = replace(rows[at], **{column: who})
    with pytest.raises(UserError, match=rf"1 patient in more than one split: {who}"):
        quickly(recipe_of("pixel-1nn"), replace(films, rows=tuple(rows)), tmp_path / "bundle")
    assert list(tmp_path.iterdir()) == []


def test_a_test_image_that_was_learnt_from_is_refused_under_another_name_and_patient(
    films: Manifest, tmp_path: Path
) -> None:
    cohorts = {"validation": 0.2, "calibration": 0.3, "contamination": 0.2, **MADE}
    recipe = recipe_of("pixel-1nn")
    recipe = recipe.model_copy(update={"cohorts": CohortSettings.model_validate(cohorts)})
    bundle = quickly(recipe, films, tmp_path / "bundle", tmp_path / "cache")
    built = build_cohorts(films, recipe.cohorts, recipe.seed)
    copies = []
    for name in ("normal", "unlabelled", "validation", "calibration"):
        source = getattr(built, name)[-1]
        copy = tmp_path / f"new-{name}.png"
        shutil.copy(films.reference(source), copy)
        copies.append(Row(str(copy), "test", "abnormal", "nodule", f"stranger-{name}"))
    test = tuple(row for row in films.rows if row.split == "test")
    for copy in copies:
        tested = Manifest((*test, copy), films.base)
        out = tmp_path / copy.patient_id
        score_into(bundle, tested, out, workers=0)
        cohort = copy.patient_id.removeprefix("stranger-")
        with pytest.raises(UserError, match=rf"1 test image.* seen by the bundle .*{copy.path} \({cohort}\)"):
            evaluate(out, tested, bootstrap=20, workers=0)
    score_into(bundle, Manifest(test, films.base), tmp_path / "clean", workers=0)
    assert (
        evaluate(tmp_path / "clean", Manifest(test, films.base), bootstrap=20, workers=0).images.normal == 8
    )
