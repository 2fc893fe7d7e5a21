"""From unlabelled images alone: fit, score, evaluate and report give ranks; `calibrate` makes decisions."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest
from test_commands import one_error, run

from secondread.bundles.bundle import Bundle
from secondread.cohorts.manifest import Manifest

RECIPE = """
about: {title: Mutual, needs: [unlabelled]}
preprocessing: {size: [32, 32]}
detector:
  name: mutual-scoring
  encoder: {name: squeezenet1_1, weights: random}
  strides: [8]
  neighbourhoods: [1]
  images: 8
"""


@pytest.fixture
def unlabelled(phantoms: Manifest, tmp_path: Path) -> Path:
    """The phantoms, half of the training films without a label and the others set apart."""
    rows = []
    train = 0
    for row in phantoms.rows:
        if row.split != "train":
            rows.append(row)
        elif (train := train + 1) <= 15:
            rows.append(replace(row, label=""))
    file = phantoms.base / f"unlabelled-{tmp_path.name}.csv"
    replace(phantoms, rows=tuple(rows)).write(file)
    return file


@pytest.fixture
def normals(phantoms: Manifest, tmp_path: Path) -> Path:
    """The other half, with labels."""
    train = [row for row in phantoms.rows if row.split == "train"]
    file = phantoms.base / f"normals-{tmp_path.name}.csv"
    replace(phantoms, rows=tuple(train[15:])).write(file)
    return file


def readings(folder: Path) -> list[dict[str, str]]:
    with (folder / "readings.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_ranks_come_of_unlabelled_images_alone_and_decisions_with_normals(
    unlabelled: Path, normals: Path, tmp_path: Path
) -> None:
    (tmp_path / "mutual.yaml").write_text(RECIPE)
    alike = ("--workers", 0, "--device", "cpu")
    said = run("fit", tmp_path / "mutual.yaml", unlabelled, "-o", tmp_path / "b", *alike)
    assert "no training row has label normal" in said
    assert "No normal has calibrated this" in said
    assert "assumes that most patients have no finding" in said
    bundle = Bundle.load(tmp_path / "b")
    assert not bundle.calibration.decides
    assert bundle.calibration.of_unlabelled

    said = run("score", tmp_path / "b", unlabelled, "-o", tmp_path / "out", "--maps", *alike)
    assert "none judged" in said
    rows = readings(tmp_path / "out")
    assert all(row["score"] and not row["p_value"] and not row["flagged"] for row in rows)
    assert all(row["map"] and row["baseline_spectrum"] for row in rows)

    test = ("score", tmp_path / "b", unlabelled, "-o", tmp_path / "test", "--where", "split=test", *alike)
    run(*test)
    evaluated = ("evaluate", tmp_path / "test" / "readings.csv", unlabelled, "--bootstrap", 20)
    run(*evaluated, "-o", tmp_path / "report")
    metrics = json.loads((tmp_path / "report" / "metrics.json").read_text())
    assert metrics["auroc"] is not None
    page = (tmp_path / "report" / "report.html").read_text()
    assert "No decisions: ranks alone" in page

    moved = tmp_path / "calibrated"
    said = run("calibrate", tmp_path / "b", normals, "-o", moved, "--false-alarm-rate", 0.2, "--workers", 0)
    assert "At most 20 % of new normal images are flagged" in said
    run("score", moved, unlabelled, "-o", tmp_path / "judged", "--where", "split=test", *alike)
    judged = readings(tmp_path / "judged")
    assert all(row["p_value"] and row["flagged"] for row in judged)
    ranked = {row["path"]: row["score"] for row in readings(tmp_path / "test")}
    assert {row["path"]: row["score"] for row in judged} == ranked


def test_a_detector_that_learns_from_normals_still_needs_them(unlabelled: Path, tmp_path: Path) -> None:
    (tmp_path / "needs.yaml").write_text("preprocessing: {size: [32, 32]}\ndetector: {name: spectrum}\n")
    said = run("fit", tmp_path / "needs.yaml", unlabelled, "-o", tmp_path / "b", "--workers", 0, code=2)
    assert "no row has split train and label normal" in one_error(said)


def test_normals_that_are_there_calibrate_the_fit_itself(phantoms: Manifest, tmp_path: Path) -> None:
    rows = [
        replace(row, label="") if row.split == "train" and number % 3 == 0 else row
        for number, row in enumerate(phantoms.rows)
    ]
    file = phantoms.base / f"both-{tmp_path.name}.csv"
    replace(phantoms, rows=tuple(rows)).write(file)
    (tmp_path / "mutual.yaml").write_text(RECIPE)
    run("fit", tmp_path / "mutual.yaml", file, "-o", tmp_path / "b", "--workers", 0, "--device", "cpu", "-q")
    bundle = Bundle.load(tmp_path / "b")
    assert bundle.calibration.decides
    assert not bundle.calibration.of_unlabelled
