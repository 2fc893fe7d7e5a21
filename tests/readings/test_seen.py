"""Images that the bundle learned from, saved again."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image as Picture

from secondread.bundles.bundle import Bundle
from secondread.bundles.seen import Seen
from secondread.cohorts.manifest import Manifest
from secondread.cohorts.row import Row
from secondread.errors import UserError
from secondread.evaluation.evaluate import evaluate
from secondread.fitting.calibrate import calibrate
from secondread.readings.readings import Readings
from secondread.readings.score import score
from secondread.readings.score_into import score_into


def deeper(pixels: np.ndarray, path: Path) -> None:
    Picture.fromarray(pixels.astype(np.uint16) * 257).save(path.with_suffix(".png"))


def colour(pixels: np.ndarray, path: Path) -> None:
    Picture.fromarray(np.stack([pixels] * 3, axis=-1)).save(path.with_suffix(".png"))


def compressed(pixels: np.ndarray, path: Path) -> None:
    Picture.fromarray(pixels).save(path.with_suffix(".png"), optimize=True)


def fractions(pixels: np.ndarray, path: Path) -> None:
    tifffile.imwrite(path.with_suffix(".tiff"), (pixels / 255).astype(np.float32))


@pytest.fixture
def learnt(fitted: Bundle, phantoms: Manifest) -> list[np.ndarray]:
    """Pixels of two training normals."""
    readings = score(fitted, phantoms.where("split=train", "label=normal"), workers=0).rows
    paths = [phantoms.base / each.path for each in readings if each.seen == "normal"][:2]
    return [np.asarray(Picture.open(path)) for path in paths]


def saved_again(learnt: list[np.ndarray], save: Callable[[np.ndarray, Path], None], folder: Path) -> Manifest:
    """As test images beside drawn ones."""
    folder.mkdir()
    for number, pixels in enumerate(learnt):
        save(pixels, folder / f"copy-{number}")
    noise = np.random.default_rng(0).integers(0, 255, (2, *learnt[0].shape)).astype(np.uint8)
    for number, pixels in enumerate(noise):
        Picture.fromarray(pixels).save(folder / f"new-{number}.png")
    rows = [
        Row(path.name, split="test", label="abnormal" if path.name.startswith("new") else "normal")
        for path in sorted(folder.iterdir())
    ]
    return Manifest(tuple(rows), folder)


@pytest.mark.parametrize("save", [deeper, colour, compressed, fractions])
def test_a_training_image_that_was_saved_again_is_seen_and_not_evaluated(
    fitted: Bundle, learnt: list[np.ndarray], tmp_path: Path, save: Callable[[np.ndarray, Path], None]
) -> None:
    manifest = saved_again(learnt, save, tmp_path / "copies")
    score_into(fitted, manifest, tmp_path / "out", workers=0)
    readings = Readings.read(tmp_path / "out")
    assert [each.seen for each in readings.rows] == ["normal", "normal", "", ""]
    with pytest.raises(UserError, match=r"2 test image\(s\) were seen by the bundle"):
        evaluate(readings, manifest, workers=0)


def test_copies_are_no_normals_for_a_new_calibration(
    fitted: Bundle, learnt: list[np.ndarray], tmp_path: Path
) -> None:
    manifest = saved_again(learnt, deeper, tmp_path / "copies")
    rows = tuple(replace(row, split="train", label="normal") for row in manifest.rows)
    with pytest.raises(UserError, match=r"learned from images copy-0\.png, copy-1\.png"):
        calibrate(fitted, replace(manifest, rows=rows), tmp_path / "other", workers=0, progress=False)


def test_a_bundle_that_holds_no_digests_of_pixels_says_so(
    fitted: Bundle, learnt: list[np.ndarray], tmp_path: Path
) -> None:
    earlier = fitted.seen.model_dump()
    del earlier["pixels"]
    manifest = saved_again(learnt, deeper, tmp_path / "copies")
    score_into(replace(fitted, seen=Seen.model_validate(earlier)), manifest, tmp_path / "out", workers=0)
    found = evaluate(Readings.read(tmp_path / "out"), manifest, bootstrap=20, workers=0)
    assert "copies_unknown" in {warning.kind for warning in found.warnings}
