"""A fit with auxiliary images and with masks, from the recipe to what the bundle remembers."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as Picture

from secondread.bundles.bundle import Bundle
from secondread.cohorts.manifest import Manifest
from secondread.cohorts.row import Row
from secondread.detectors import DETECTORS
from secondread.detectors.contract import (
    Batch,
    Batches,
    Detector,
    Scores,
    ScoringNoise,
    Stage,
)
from secondread.detectors.detector_settings import DetectorSettings
from secondread.errors import UserError
from secondread.evaluation.evaluate import evaluate
from secondread.fitting.fit import fit
from secondread.readings.score import score
from secondread.readings.score_into import score_into
from secondread.recipes.recipe import Recipe


class WitnessSettings(DetectorSettings):
    name: str = "witness"
    cohort: str = "auxiliary"


class Witness(Detector):
    """Remembers how many auxiliary images it was given, how many masks, and how much these mark."""

    Settings = WitnessSettings
    learns_from_masks = True

    def build(self, *, pretrained: bool) -> None:
        self.cohort = self.settings.cohort
        self.needs = frozenset({"normal", self.cohort})
        for name in ("images", "masks", "marked"):
            self.register_buffer(name, torch.zeros(()))

    def stages(self) -> Iterator[Stage]:
        yield Stage("look", on={"normal": 0.5, self.cohort: 0.5}, collect=self.collect)

    def collect(self, batches: Batches) -> None:
        assert "normal" not in batches or batches["normal"].target is None
        batch = batches.get(self.cohort)
        if batch is None:
            return
        self.images += len(batch)
        if batch.target is not None:
            self.masks += batch.has_target.sum()
            self.marked += batch.target.float().mean((1, 2, 3)).sum()

    def score(self, batch: Batch, noise: ScoringNoise, *, maps: bool) -> Scores:
        assert batch.target is None
        return self.one_part(batch.images.flatten(1).mean(1))


@pytest.fixture(autouse=True)
def witnesses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(DETECTORS.built_in, "witness", __name__)


@pytest.fixture
def textures(tmp_path: Path) -> Path:
    """Six pictures of noise in a folder with a folder."""
    folder = tmp_path / "textures" / "more"
    folder.mkdir(parents=True)
    for number in range(6):
        values = np.random.default_rng(number).integers(0, 256, (20, 24)).astype(np.uint8)
        Picture.fromarray(values).save((folder if number % 2 else folder.parent) / f"{number}.png")
    return folder.parent


OUTLINED = {"name": "witness", "cohort": "abnormal"}


def recipe_of(auxiliary: Path | str | None, detector: dict[str, str] | None = None, **cohorts) -> Recipe:
    return Recipe.from_mapping(
        {
            "preprocessing": {"size": [32, 32]},
            "detector": detector or {"name": "witness"},
            "cohorts": {
                "validation": 0.2,
                "calibration": 0.3,
                "auxiliary": None if auxiliary is None else str(auxiliary),
                **cohorts,
            },
        }
    )


def fit_here(recipe: Recipe, manifest: Manifest, out: Path, **more) -> Bundle:
    more = {"cache": out.parent / "cache", "progress": False, **more}
    return fit(recipe, manifest, out, workers=0, device="cpu", **more)


def as_manifest(textures: Path, tmp_path: Path) -> Path:
    files = sorted(textures.rglob("*.png"))
    return Manifest(tuple(Row(str(file)) for file in files), tmp_path).write(tmp_path / "listed" / "aux.csv")


def as_archive(textures: Path, tmp_path: Path) -> Path:
    files = sorted(textures.rglob("*.png"))
    np.savez(tmp_path / "aux.npz", textures=np.stack([np.asarray(Picture.open(file)) for file in files]))
    return tmp_path / "aux.npz"


@pytest.mark.parametrize("named", [lambda textures, _: textures, as_manifest, as_archive])
def test_auxiliary_images_reach_the_stage_and_are_remembered(named, textures, phantoms, tmp_path) -> None:
    (tmp_path / "listed").mkdir()
    source = named(textures, tmp_path)
    bundle = fit_here(recipe_of(source), phantoms, tmp_path / "bundle")
    assert int(bundle.detector.images) == 6
    assert bundle.provenance.cohorts["auxiliary"] == 6
    assert len(bundle.seen.images["auxiliary"]) == 6
    assert len(bundle.provenance.auxiliary_digest) == 40
    written = (tmp_path / "bundle" / "bundle.json").read_text()
    assert str(tmp_path) not in written
    assert json.loads(written)["recipe"]["cohorts"]["auxiliary"] == source.name
    loaded = Bundle.load(tmp_path / "bundle", device="cpu")
    (one, *_) = sorted(textures.rglob("*.png"))
    if source.suffix != ".npz":
        assert score(loaded, one, workers=0).rows[0].seen == "auxiliary"
    other = phantoms.where("split=test", "label=normal")
    assert not any(reading.seen for reading in score(loaded, other, workers=0).rows)


def test_a_scored_copy_of_an_auxiliary_image_is_not_evaluated(textures, phantoms, tmp_path) -> None:
    bundle = fit_here(recipe_of(textures), phantoms, tmp_path / "bundle")
    copy = tmp_path / "copy.bmp.png"
    Picture.open(textures / "0.png").save(copy, compress_level=1)
    rows = (*phantoms.where("split=test").rows, Row(str(copy), "test", "abnormal", patient_id="new"))
    path = replace(phantoms, rows=rows).write(tmp_path / "test.csv")
    score_into(bundle, path, tmp_path / "readings", workers=0)
    with pytest.raises(UserError, match=r"seen by the bundle.*\(auxiliary\)"):
        evaluate(tmp_path / "readings" / "readings.csv", Manifest.read(path), bootstrap=20, workers=0)


def test_images_of_the_test_and_of_held_out_normals_are_left_out(
    textures, phantoms, tmp_path, capsys
) -> None:
    test, normal = phantoms.where("split=test").rows[0], phantoms.where("split=train").rows
    rows = [Row(str(file)) for file in sorted(textures.rglob("*.png"))]
    rows.append(Row(phantoms.reference(test)))
    rows.append(
        replace(rows[0], path=str(shutil.copy(rows[0].path, tmp_path / "x.png")), patient_id=test.patient_id)
    )
    rows += [Row(phantoms.reference(row)) for row in normal]
    copies = []
    for number, row in enumerate(normal):  # under other names, so that only the content tells
        copies.append(Row(str(shutil.copy(phantoms.reference(row), tmp_path / f"copy-{number}.png"))))
    path = Manifest((*rows, *copies), tmp_path).write(tmp_path / "aux.csv")
    bundle = fit_here(recipe_of(path), phantoms, tmp_path / "bundle", progress=True)
    seen = bundle.seen.images
    assert not set(seen["auxiliary"]) & {*seen["validation"], *seen["calibration"]}
    held_out = bundle.provenance.cohorts["validation"] + bundle.provenance.cohorts["calibration"]
    assert bundle.provenance.cohorts["auxiliary"] == 6 + 2 * len(normal) - 2 * held_out
    said = capsys.readouterr()
    said = said.out + said.err
    assert f"{2 + held_out} image(s) left out of auxiliary" in said
    assert f"{held_out} image(s) left out of auxiliary, being copies" in said


def test_a_detector_that_needs_them_is_refused_without_and_told_the_remedy(phantoms, tmp_path) -> None:
    gone = replace(phantoms, rows=tuple(replace(row, path=f"gone/{row.path}") for row in phantoms.rows))
    with pytest.raises(UserError, match=r"--set cohorts\.auxiliary=PATH"):
        fit_here(recipe_of(None), gone, tmp_path / "bundle")
    for place, problem in ((tmp_path / "none", "no such file"), (Path(__file__), "is no folder")):
        with pytest.raises(UserError, match=problem):
            fit_here(recipe_of(place), gone, tmp_path / "bundle")


def test_a_detector_without_use_for_them_says_so(textures, phantoms, tmp_path, capsys) -> None:
    bundle = fit_here(recipe_of(textures, {"name": "spectrum"}), phantoms, tmp_path / "bundle", progress=True)
    said = capsys.readouterr()
    assert "does not learn from auxiliary images" in said.out + said.err
    assert "auxiliary" not in bundle.seen.images


def test_other_auxiliary_images_are_another_fit(textures, phantoms, tmp_path) -> None:
    bundle = fit_here(recipe_of(textures), phantoms, tmp_path / "bundle")
    again = fit_here(recipe_of(textures), phantoms, tmp_path / "bundle", resume=True)
    assert again.digest == bundle.digest
    (textures / "0.png").unlink()
    with pytest.raises(UserError, match="another list of auxiliary images"):
        fit_here(recipe_of(textures), phantoms, tmp_path / "bundle", resume=True)


def test_the_place_is_relative_to_the_recipes_file_or_to_where_the_command_runs(
    tmp_path: Path, monkeypatch
) -> None:
    text = "preprocessing: {size: [32, 32]}\ndetector: {name: ae}\ncohorts: {auxiliary: ../textures}\n"
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "mine.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)
    loaded = Recipe.load("recipes/mine.yaml")
    assert loaded.cohorts.auxiliary == str(tmp_path / "textures")
    for name in ("recipes/mine.yaml", "ae"):
        loaded = Recipe.load(name, set=["cohorts.auxiliary=dtd/images"])
        assert loaded.cohorts.auxiliary == str(tmp_path / "dtd" / "images")
    assert Recipe.load("ae", set=["cohorts.auxiliary="]).cohorts.auxiliary is None


@pytest.fixture
def with_lesions(tmp_path: Path) -> Manifest:
    """Films of which twelve abnormal ones are for training, each with a mask."""
    from secondread.cohorts.phantoms.make import make_phantoms

    path = make_phantoms(
        tmp_path / "films", seed=2, n_normal=24, n_abnormal=8, n_train_abnormal=6, size=(48, 48)
    )
    return Manifest.read(path)


def test_masks_of_abnormal_training_rows_reach_the_loss_and_no_others(with_lesions, tmp_path) -> None:
    recipe = recipe_of(None, OUTLINED, labelled={"any": 6})
    rows = [replace(row, mask="gone.png") if row.split == "test" else row for row in with_lesions.rows]
    train = [at for at, row in enumerate(rows) if row.split == "train" and row.label == "abnormal"]
    rows[train[0]] = replace(rows[train[0]], mask="")
    bundle = fit_here(recipe, replace(with_lesions, rows=tuple(rows)), tmp_path / "bundle")
    assert int(bundle.detector.masks) == 5
    shares = [
        (np.asarray(Picture.open(with_lesions.mask_reference(with_lesions.rows[at]))) > 0).mean()
        for at in train[1:]
    ]
    assert float(bundle.detector.marked) == pytest.approx(sum(shares), rel=0.5)
    assert bundle.provenance.unreadable == {}


def test_a_mask_that_cannot_be_read_costs_itself(with_lesions, tmp_path, capsys) -> None:
    recipe = recipe_of(None, OUTLINED, labelled={"any": 6})
    rows = [replace(row, mask="gone.png") if row.label == "abnormal" else row for row in with_lesions.rows]
    bundle = fit_here(recipe, replace(with_lesions, rows=tuple(rows)), tmp_path / "bundle", progress=True)
    assert (int(bundle.detector.images), int(bundle.detector.masks)) == (6, 0)
    assert bundle.provenance.unreadable == {"abnormal masks": 6}
    said = capsys.readouterr()
    assert "mask not read: " in said.out + said.err


def test_no_mask_is_read_for_a_detector_that_learns_from_none(with_lesions, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(Witness, "learns_from_masks", False)
    recipe = recipe_of(None, OUTLINED, labelled={"any": 6})
    bundle = fit_here(recipe, with_lesions, tmp_path / "bundle")
    assert (int(bundle.detector.images), int(bundle.detector.masks)) == (6, 0)
    assert not os.path.exists(tmp_path / "cache" / "targets")
