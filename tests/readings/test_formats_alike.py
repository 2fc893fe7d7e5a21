"""The same volumes as NIfTI, NRRD and MetaImage, some with voxels in a file beside: one score."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK as sitk

import secondread

RECIPE = {
    "preprocessing": {
        "size": [6, 16, 16],
        "fit": "place",
        "steps": [{"resample": {"spacing": [2.0, 1.5, 1.0]}}],
    },
    "detector": {"name": "spectrum", "bands": 4},
    "cohorts": {"validation": 0.2, "calibration": 0.3},
    "calibration": {"false_alarm_rate": 0.3},
}


def scans(folder: Path, ending: str, packed: bool) -> Path:
    """Eleven volumes whose axes lie from left to right, with a mask beside the abnormal one."""
    rng = np.random.default_rng(3)
    for number in range(11):
        split, label = ("test", "abnormal") if number == 10 else ("train", "normal")
        place = folder / split / label
        place.mkdir(parents=True, exist_ok=True)
        voxels = rng.normal(100, 5, (6, 20, 18)).astype(np.float32)
        mask = np.zeros(voxels.shape, np.uint8)
        if number == 10:
            mask[2, 5:9, 4:8] = 1
            voxels += 90 * mask
        for name, values in (("", voxels), *([("_seg", mask)] if mask.any() else [])):
            image = sitk.GetImageFromArray(values)
            image.SetSpacing((1.25, 1.0, 2.0))
            image.SetOrigin((4.0, -8.0, 16.0))
            image.SetDirection((-1, 0, 0, 0, 1, 0, 0, 0, 1))
            sitk.WriteImage(image, str(place / f"p{number}{name}{ending}"), packed)
    return folder


def test_scores_of_a_volume_are_equal_in_every_format(tmp_path: Path) -> None:
    found, bundle = {}, None
    for ending, packed in (
        (".nii.gz", True),
        (".nrrd", True),
        (".nhdr", False),
        (".mha", False),
        (".mhd", True),
    ):
        folder = scans(tmp_path / ending[1:], ending, packed)
        indexed = secondread.index(folder, manifest_path=folder / "m.csv", workers=0)
        assert indexed.set_aside == []
        rows = indexed.manifest.rows
        assert [row.mask for row in rows if row.mask] == [f"test/abnormal/p10_seg{ending}"]
        indexed.manifest.write(folder / "m.csv")
        bundle = bundle or secondread.fit(
            RECIPE, folder / "m.csv", tmp_path / "bundle", workers=0, progress=False
        )
        readings = secondread.score(bundle, folder / "m.csv", workers=0)
        found[ending] = [reading.score for reading in readings]
        assert len(set(found[ending])) == len(rows) == 11
    assert all(scores == found[".nii.gz"] for scores in found.values())
