import nibabel
import numpy as np
import pytest
from PIL import Image

from secondread.cohorts.checking.check import check
from secondread.cohorts.manifest import Manifest
from secondread.cohorts.phantoms.make import make_phantoms
from secondread.cohorts.row import Row


def picture(folder, name, values):
    Image.fromarray(np.asarray(values, dtype=np.uint8)).save(folder / name)
    return name


def noise(seed, shape=(12, 10)):
    return np.random.default_rng(seed).integers(0, 255, shape)


def found(tmp_path, rows):
    return check(Manifest(tuple(rows), tmp_path), workers=0)


def kinds(findings):
    return [(finding.severity, finding.kind) for finding in findings]


def test_phantoms_are_clean(tmp_path):
    manifest = Manifest.read(make_phantoms(tmp_path, seed=0, n_normal=30, n_abnormal=10))
    assert check(manifest, workers=0) == []


def test_files_that_do_not_read_are_errors_and_the_rest_is_checked(tmp_path):
    (tmp_path / "text.png").write_text("no picture")
    good = picture(tmp_path, "good.png", noise(0))
    findings = found(
        tmp_path,
        [Row("gone.png", patient_id="a"), Row("text.png", patient_id="b"), Row(good, patient_id="c")],
    )
    assert kinds(findings) == [("error", "unreadable")] * 2
    assert [finding.paths for finding in findings] == [("gone.png",), ("text.png",)]


def test_constant_images_are_errors(tmp_path):
    name = picture(tmp_path, "flat.png", np.full((8, 8), 7))
    (finding,) = found(tmp_path, [Row(name, patient_id="a")])
    assert (finding.severity, finding.kind, finding.paths) == ("error", "constant", ("flat.png",))


def test_voxels_that_are_not_numbers_are_errors(tmp_path):
    import nibabel

    values = np.random.default_rng(0).random((6, 5, 4)).astype(np.float32)
    values[2, 2, 2] = np.nan
    nibabel.Nifti1Image(values, np.eye(4)).to_filename(tmp_path / "a.nii.gz")
    (finding,) = found(tmp_path, [Row("a.nii.gz", patient_id="a")])
    assert (finding.severity, finding.kind) == ("error", "unreadable")
    assert "a.nii.gz" in finding.line
    assert "NaN" in finding.line


def test_copies_are_found_by_bytes_and_by_pixels_worst_first(tmp_path):
    for name in ("a.png", "b.png", "c.png", "d.png"):
        picture(tmp_path, name, noise(1 if name < "c" else 2))
    Image.fromarray(noise(1).astype(np.uint8)).save(tmp_path / "e.tiff")
    Image.fromarray(np.stack([noise(2)] * 3, axis=-1).astype(np.uint8)).save(tmp_path / "f.png")
    rows = [
        Row("a.png", "train", "normal", patient_id="1"),
        Row("e.tiff", "test", "normal", patient_id="2"),
        Row("c.png", "train", "normal", patient_id="3"),
        Row("f.png", "train", "abnormal", patient_id="4"),
    ]
    findings = [f for f in found(tmp_path, rows) if f.kind == "duplicate"]
    assert [f.severity for f in findings] == ["error", "error"]
    assert "more than one split" in findings[0].line
    assert findings[0].paths == ("a.png", "e.tiff")
    assert "different labels" in findings[1].line
    same = found(tmp_path, [Row("a.png", patient_id="1"), Row("b.png", patient_id="1")])
    assert [(f.severity, f.kind) for f in same] == [("warning", "duplicate")]
    assert "same file" in same[0].line


def test_a_patient_in_two_splits_is_named(tmp_path):
    rows = [
        Row(picture(tmp_path, f"{i}.png", noise(i)), s, "normal", patient_id="p7")
        for i, s in enumerate(["train", "test"])
    ]
    (finding,) = found(tmp_path, rows)
    assert (finding.severity, finding.kind) == ("error", "patients")
    assert "p7" in finding.line
    assert finding.paths == ("0.png", "1.png")


def test_a_mask_without_its_images_affine_is_found(tmp_path):
    values = np.zeros((8, 9, 7), np.int16)
    values[1:3, 2:5, 3:5] = 300
    affine = np.diag([-1.0, -1.0, 2.0, 1.0])
    nibabel.Nifti1Image(values, affine).to_filename(tmp_path / "a.nii.gz")
    nibabel.Nifti1Image((values > 0).astype(np.uint8), np.eye(4)).to_filename(tmp_path / "m.nii.gz")
    rows = [Row("a.nii.gz", label="abnormal", patient_id="p", mask="m.nii.gz")]
    (finding,) = found(tmp_path, rows)
    assert (finding.severity, finding.kind) == ("error", "mask")
    assert "identity affine" in finding.line
    nibabel.Nifti1Image((values > 0).astype(np.uint8), affine).to_filename(tmp_path / "m.nii.gz")
    assert found(tmp_path, rows) == []


@pytest.mark.parametrize(
    ("label", "mask", "severity", "words"),
    [
        ("abnormal", None, "error", "no such file"),
        ("abnormal", np.ones((5, 5)), "error", "5×5 is not the image's 12×10"),
        ("normal", np.eye(12, 10) * 255, "error", "labelled normal"),
        ("abnormal", np.zeros((12, 10)), "warning", "marks nothing"),
    ],
)
def test_masks_that_miss_or_do_not_fit_are_found(tmp_path, label, mask, severity, words):
    name = picture(tmp_path, "a.png", noise(0))
    if mask is not None:
        picture(tmp_path, "m.png", mask)
    (finding,) = found(tmp_path, [Row(name, label=label, patient_id="p", mask="m.png")])
    assert (finding.severity, finding.kind) == (severity, "mask")
    assert words in finding.line


def test_mixed_sizes_and_channels_are_told_with_counts(tmp_path):
    rows = [Row(picture(tmp_path, f"{i}.png", noise(i)), patient_id=str(i)) for i in range(3)]
    rows.append(Row(picture(tmp_path, "colour.png", noise(9, (20, 10, 3))), patient_id="9"))
    findings = found(tmp_path, rows)
    assert kinds(findings) == [("note", "size"), ("note", "channels")]
    assert "12×10 (3)" in findings[0].line
    assert findings[1].paths == ("colour.png",)


def test_progress_is_told(tmp_path):
    rows = [Row(picture(tmp_path, f"{i}.png", noise(i))) for i in range(3)]
    seen = []
    check(Manifest(tuple(rows), tmp_path), workers=0, progress=seen.append)
    assert seen == [1, 2, 3]


@pytest.mark.slow
def test_the_leak_of_the_web_ct_slices_is_found(shared_data):
    findings = check(Manifest.read(shared_data / "head-ct" / "manifest.csv"), workers=2)
    (leak,) = [finding for finding in findings if "RGBA" in finding.line]
    assert "all 12 images" in leak.line
    assert "normal" in leak.line
    assert len(leak.paths) == 12
    (wide,) = [finding for finding in findings if "columns" in finding.line]
    assert "low columns tend to be normal, with high columns abnormal" in wide.line
    assert {path.split("/")[0] for path in wide.paths} == {"normal", "abnormal"}
    assert all(path in wide.line for path in wide.paths)
