"""Rows of four files each, from the manifest to maps, decisions and metrics."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest

from secondread.bundles.bundle import Bundle
from secondread.cohorts.checking.check import check
from secondread.cohorts.manifest import Manifest
from secondread.cohorts.row import Row
from secondread.errors import UserError
from secondread.evaluation.evaluate import evaluate
from secondread.fitting.fit import fit
from secondread.images.read import read_image
from secondread.readings.readings import Readings
from secondread.readings.score_into import score_into
from secondread.recipes.recipe import Recipe
from secondread.reports.pictures import Wanted, draw_picture

SEQUENCES = ("t1", "t1ce", "t2", "flair")
SIZE = (12, 14, 10)
AFFINE = np.diag([2.0, 2.0, 3.0, 1.0])


def examination(folder: Path, name: str, *, lesion: bool) -> Row:
    """Four sequences of one head, each in its own unit; a lesion is bright in the last alone."""
    generator = np.random.default_rng(list(name.encode()))
    place = np.indices(SIZE).astype(float)
    centre = (np.array(SIZE) - 1) / 2
    distance = sum(((axis - c) / (0.45 * n)) ** 2 for axis, c, n in zip(place, centre, SIZE, strict=True))
    marked = sum((axis - c - 2) ** 2 for axis, c in zip(place, centre, strict=True)) < 5
    for number, sequence in enumerate(SEQUENCES):
        values = np.where(distance < 1, 300 * (number + 1), 0) + generator.normal(0, 10, SIZE)
        if lesion and sequence == "flair":
            values[marked] += 900
        image = nibabel.Nifti1Image(values.astype(np.int16), AFFINE)
        image.to_filename(folder / f"{name}_{sequence}.nii.gz")
    mask = ""
    if lesion:
        mask = f"{name}_mask.nii.gz"
        nibabel.Nifti1Image(marked.astype(np.uint8), AFFINE).to_filename(folder / mask)
    path = "|".join(f"{name}_{sequence}.nii.gz" for sequence in SEQUENCES)
    return Row(path, "", "abnormal" if lesion else "normal", patient_id=name, mask=mask)


@pytest.fixture(scope="module")
def heads(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    folder = tmp_path_factory.mktemp("heads")
    rows = [replace(examination(folder, f"n{i}", lesion=False), split="train") for i in range(12)]
    rows += [replace(examination(folder, f"m{i}", lesion=False), split="test") for i in range(3)]
    rows += [replace(examination(folder, f"a{i}", lesion=True), split="test") for i in range(3)]
    return Manifest.read(Manifest(tuple(rows), folder).write(folder / "heads.csv"))


def recipe_of(**preprocessing) -> Recipe:
    return Recipe.from_mapping(
        {
            "preprocessing": {"size": [16] * 3, "files": 4, "steps": [{"standardise": {}}], **preprocessing},
            "detector": {"name": "ae", "network": {"width": 4, "hidden": 16}},
            "stages": {"reconstruction": {"epochs": 2, "batch_size": 4}},
            "cohorts": {"validation": 0.2, "calibration": 0.3},
        }
    )  # fmt: skip


@pytest.fixture(scope="module")
def bundle(heads: Manifest, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("fitted")
    return fit(
        recipe_of(), heads, folder / "bundle", cache=folder / "cache", workers=0, device="cpu", progress=False
    )


def test_four_sequences_are_fitted_scored_and_evaluated(heads, bundle, tmp_path) -> None:
    assert bundle.detector.channels == 4
    summary = score_into(
        bundle, heads.source, tmp_path / "readings", where=("split=test",), maps=True, workers=1
    )
    assert (summary.scored, summary.failed) == (6, ())
    again = score_into(
        bundle, heads.source, tmp_path / "readings", where=("split=test",), maps=True, workers=1
    )
    assert (again.scored, again.earlier) == (0, 6)
    evaluation = evaluate(tmp_path / "readings" / "readings.csv", heads, bootstrap=20, workers=0)
    assert len(evaluation.cases.cases) == 6
    assert evaluation.pixels is not None
    readings = Readings.read(tmp_path / "readings" / "readings.csv")
    for row in readings.rows:
        assert row.map is not None
        found = nibabel.load(tmp_path / "readings" / row.map)
        assert found.shape == SIZE
        np.testing.assert_allclose(found.affine, AFFINE)
        drawn = draw_picture(Wanted(readings.reference(row)))
        assert drawn.picture
        assert not drawn.reason


def test_a_changed_sequence_is_read_again(bundle, tmp_path) -> None:
    moved = Manifest((examination(tmp_path, "x", lesion=False),), tmp_path)
    path = moved.write(tmp_path / "one.csv")
    assert score_into(bundle, path, tmp_path / "readings", workers=0).scored == 1
    examination(tmp_path, "x", lesion=True)
    assert score_into(bundle, path, tmp_path / "readings", workers=0).scored == 1


def test_arrays_in_memory_are_judged_as_the_files_are(heads, bundle) -> None:
    reference = heads.reference(heads.where("split=test").rows[0])
    image = read_image(reference)
    judged = bundle.judge_images([image, np.asarray(image.pixels)])
    assert judged.scores[0] == judged.scores[1]


def test_check_reads_every_file_and_finds_rows_of_other_counts(heads) -> None:
    assert not [finding for finding in check(heads, workers=0) if finding.severity == "error"]
    first = heads.rows[0]
    three = replace(first, path=first.path.rpartition("|")[0])
    found = check(replace(heads, rows=(three, *heads.rows[1:])), workers=0)
    assert any(f.severity == "error" and "other numbers of files" in f.line for f in found)


def test_other_numbers_of_files_are_refused_before_one_is_read(heads, tmp_path) -> None:
    gone = replace(heads, base=tmp_path)
    with pytest.raises(UserError, match=r"names 4 files, and the recipe.* set preprocessing\.files=4"):
        fit(recipe_of(files=1), gone, tmp_path / "bundle", progress=False)
    single = tuple(replace(row, path=row.path.partition("|")[0]) for row in heads.rows)
    with pytest.raises(UserError, match=r"names one file, .* set preprocessing\.files=1"):
        fit(recipe_of(), replace(gone, rows=single), tmp_path / "bundle", progress=False)


def test_a_pretrained_encoder_says_that_it_takes_one_or_three_channels(heads, tmp_path) -> None:
    recipe = Recipe.load("k-nn", set=["preprocessing.files=4"])
    with pytest.raises(UserError, match="takes 1 or 3 channels, and preprocessing gives 4") as caught:
        fit(recipe, heads, tmp_path / "bundle", progress=False)
    assert "\n" not in str(caught.value)


def test_a_manifest_of_several_files_moves_with_its_paths(heads, tmp_path) -> None:
    moved = Manifest.read(heads.write(tmp_path / "elsewhere.csv"))
    assert moved.rows[0].path.count("|") == 3
    for before, after in zip(heads.rows, moved.rows, strict=True):
        assert read_image(moved.reference(after)).digest == read_image(heads.reference(before)).digest
