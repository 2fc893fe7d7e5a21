"""Readings meet the labels of the images that were read, and of no others."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Picture

from secondread.bundles.bundle import Bundle
from secondread.cohorts.manifest import Manifest
from secondread.cohorts.row import Row
from secondread.errors import UserError
from secondread.evaluation.evaluate import evaluate
from secondread.readings.score_into import score_into


def site(folder: Path, seed: int) -> Path:
    """A manifest of eight films whose names are those of every other site."""
    rows = []
    for number in range(8):
        name = f"films/{number}.png"
        (folder / "films").mkdir(parents=True, exist_ok=True)
        Picture.fromarray(
            np.random.default_rng((seed, number)).integers(0, 255, (48, 48), dtype=np.uint8)
        ).save(folder / name)
        label = "abnormal" if (number + seed) % 2 else "normal"
        rows.append(Row(name, "test", label, patient_id=f"{seed}-{number}"))
    return Manifest(tuple(rows), folder).write(folder / "manifest.csv")


@pytest.fixture
def read(fitted: Bundle, tmp_path: Path) -> Path:
    """Readings of site A."""
    score_into(fitted, site(tmp_path / "a", 0), tmp_path / "out", workers=0)
    return tmp_path / "out"


def judge(readings: Path, manifest: Path) -> float:
    return evaluate(readings, manifest, bootstrap=20, workers=0).metrics()["auroc"]


def test_another_sites_manifest_of_equal_names_is_refused(read: Path, tmp_path: Path) -> None:
    assert 0 <= judge(read, tmp_path / "a" / "manifest.csv") <= 1
    with pytest.raises(UserError, match=r"8 of 8 test images are not those that were read: films/0\.png"):
        judge(read, site(tmp_path / "b", 1))


def test_the_same_images_in_another_place_are_the_same(read: Path, tmp_path: Path) -> None:
    before = judge(read, tmp_path / "a" / "manifest.csv")
    shutil.move(tmp_path / "a", tmp_path / "moved")
    assert judge(read, tmp_path / "moved" / "manifest.csv") == before
    shutil.copy(tmp_path / "moved" / "films" / "1.png", tmp_path / "moved" / "films" / "2.png")
    with pytest.raises(UserError, match=r"1 of 8 test images are not those that were read: films/2\.png"):
        judge(read, tmp_path / "moved" / "manifest.csv")


def test_without_files_to_look_at_the_manifest_must_be_the_one_that_was_scored(
    read: Path, tmp_path: Path
) -> None:
    other = site(tmp_path / "b", 1)
    shutil.rmtree(tmp_path / "b" / "films")
    with pytest.raises(UserError, match="nothing shows that they are the same"):
        judge(read, other)
    shutil.copy(tmp_path / "a" / "manifest.csv", other)
    assert judge(read, other) == judge(read, tmp_path / "a" / "manifest.csv")


def test_an_image_that_changed_since_it_was_read_is_refused(read: Path, tmp_path: Path) -> None:
    (tmp_path / "a" / "films" / "3.png").write_bytes((tmp_path / "a" / "films" / "4.png").read_bytes())
    with pytest.raises(UserError, match=r"1 of 8 .*: films/3\.png; they have changed since"):
        judge(read, tmp_path / "a" / "manifest.csv")


def test_images_of_archives_are_told_apart_by_what_is_in_them(fitted: Bundle, tmp_path: Path) -> None:
    manifests = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        images = np.random.default_rng(ord(name)).integers(0, 255, (4, 40, 40), dtype=np.uint8)
        np.savez(tmp_path / name / "set.npz", images=images)
        rows = [Row(f"set.npz#images/{i}", "test", "abnormal" if i % 2 else "normal") for i in range(4)]
        manifests.append(Manifest(tuple(rows), tmp_path / name).write(tmp_path / name / "manifest.csv"))
    score_into(fitted, manifests[0], tmp_path / "out", workers=0)
    with pytest.raises(UserError, match="4 of 4 test images are not those"):
        judge(tmp_path / "out", manifests[1])
    shutil.copytree(tmp_path / "a", tmp_path / "copy")
    judge(tmp_path / "out", tmp_path / "copy" / "manifest.csv")


def test_labels_may_change_between_scoring_and_evaluation(read: Path, tmp_path: Path) -> None:
    manifest = Manifest.read(tmp_path / "a" / "manifest.csv")
    turned = [
        replace(row, label="normal" if row.label == "abnormal" else "abnormal") for row in manifest.rows
    ]
    before = judge(read, tmp_path / "a" / "manifest.csv")
    after = evaluate(read, replace(manifest, rows=tuple(turned)), bootstrap=20, workers=0).metrics()["auroc"]
    assert after == pytest.approx(1 - before)
