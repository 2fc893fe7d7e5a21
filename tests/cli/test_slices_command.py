"""A method for pictures takes NIfTI volumes by their slices, from `index` to the readings of studies."""

from __future__ import annotations

import zlib
from pathlib import Path

import nibabel
import numpy as np
from test_commands import run

from secondread import tables
from secondread.cohorts.manifest import Manifest


def volume(path: Path, lesion: bool) -> None:
    rng = np.random.default_rng(zlib.crc32("/".join(path.parts[-3:]).encode()))
    voxels = rng.normal(100, 5, (24, 24, 6))
    mask = np.zeros(voxels.shape, np.uint8)
    if lesion:
        mask[8:14, 8:14, 3] = 1
        voxels += 150 * mask * (np.indices(voxels.shape).sum(0) % 2)
        nibabel.save(nibabel.Nifti1Image(mask, np.eye(4)), path.with_name(f"{path.name[:-7]}_seg.nii.gz"))
    nibabel.save(nibabel.Nifti1Image(voxels.astype(np.int16), np.eye(4)), path)


def test_a_method_for_pictures_takes_volumes_by_slices(tmp_path: Path) -> None:
    for split, label, count in (("train", "normal", 10), ("test", "normal", 3), ("test", "abnormal", 3)):
        folder = tmp_path / "scans" / split / label
        folder.mkdir(parents=True)
        for number in range(count):
            volume(folder / f"p{number}.nii.gz", lesion=label == "abnormal")
    manifest, quiet = tmp_path / "m.csv", ("--workers", 0, "-q", "--cache", tmp_path / "cache")
    run("index", tmp_path / "scans", "-o", manifest, "--as", "images", "--slices", "1-4", "--workers", 0)
    rows = Manifest.read(manifest).rows
    assert len(rows) == 16 * 4
    assert {row.study_id.count("#") for row in rows} == {0}
    assert sum(row.label == "abnormal" for row in rows) == 3
    recipe = tmp_path / "r.yaml"
    recipe.write_text(
        "preprocessing: {size: [24, 24]}\ndetector: {name: spectrum, bands: 6}\n"
        "cohorts: {validation: 0.2, calibration: 0.3}\ncalibration: {false_alarm_rate: 0.3}\n"
    )
    run("fit", recipe, manifest, "-o", tmp_path / "b", *quiet)
    run("score", tmp_path / "b", manifest, "--where", "split=test", "-o", tmp_path / "out", *quiet)
    header, *studies = tables.read_text((tmp_path / "out" / "studies.csv").read_text())
    table = [dict(zip(header, cells, strict=True)) for cells in studies]
    assert [row["images"] for row in table] == ["4"] * 6
    lesions = [row for row in table if "abnormal" in row["study_id"]]
    assert [row["worst_image"].rpartition("/")[2] for row in lesions] == ["3"] * 3
    assert min(float(row["score"]) for row in lesions) > max(
        float(row["score"]) for row in table if row not in lesions
    )
    # a volume and a folder of them, given to `score` as they are
    scan = tmp_path / "scans" / "test" / "abnormal" / "p0.nii.gz"
    run("score", tmp_path / "b", scan, "-o", tmp_path / "one", *quiet)
    _, *readings = tables.read_text((tmp_path / "one" / "readings.csv").read_text())
    assert len(readings) == 6
