"""Several files of one row as the channels of one image."""

from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image as Picture

from secondread.images.image import ImageError
from secondread.images.read import read_image
from secondread.images.several_files import SeveralFiles, absolute, channels_of, files_of, under

SEQUENCES = ("t1", "t1ce", "t2", "flair")


def volume(path: Path, seed: int, size=(6, 7, 8), affine=None) -> str:
    values = np.random.default_rng(seed).integers(0, 1000, size).astype(np.int16)
    nibabel.Nifti1Image(values, np.diag([2.0, 2, 3, 1]) if affine is None else affine).to_filename(path)
    return str(path)


@pytest.fixture
def sequences(tmp_path: Path) -> list[str]:
    return [volume(tmp_path / f"{name}.nii.gz", seed) for seed, name in enumerate(SEQUENCES)]


def test_four_sequences_are_one_image_of_four_channels(sequences) -> None:
    image = read_image("|".join(sequences))
    alone = [read_image(path) for path in sequences]
    assert isinstance(image, SeveralFiles)
    assert image.pixels.shape == (4, *alone[0].size)
    np.testing.assert_array_equal(image.pixels, np.concatenate([one.pixels for one in alone]))
    np.testing.assert_array_equal(image.geometry.affine, alone[0].geometry.affine)
    assert image.digest not in {one.digest for one in alone}
    assert image.digest != read_image("|".join(sequences[::-1])).digest


def test_the_volumes_of_one_file_may_be_the_channels(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 1000, (6, 7, 8, 4)).astype(np.int16)
    path = tmp_path / "four.nii.gz"
    nibabel.Nifti1Image(values, np.diag([2.0, 2, 3, 1])).to_filename(path)
    image = read_image("|".join(f"{path}#frame/{number}" for number in range(4)))
    assert image.pixels.shape[0] == 4
    assert sorted(image.pixels.sum((1, 2, 3)).tolist()) == sorted(values.sum((0, 1, 2)).tolist())


def test_an_orientation_of_its_own_is_turned_to_the_first_files(tmp_path: Path) -> None:
    first = volume(tmp_path / "a.nii.gz", 0)
    values = np.asarray(nibabel.load(first).dataobj)
    flipped = np.diag([-2.0, 2, 3, 1])
    flipped[0, 3] = 2 * (values.shape[0] - 1)
    nibabel.Nifti1Image(values[::-1], flipped).to_filename(tmp_path / "b.nii.gz")
    image = read_image(f"{first}|{tmp_path / 'b.nii.gz'}")
    np.testing.assert_array_equal(image.pixels[0], image.pixels[1])


def test_files_on_other_grids_are_refused_in_one_line(sequences, tmp_path: Path) -> None:
    moved = np.diag([2.0, 2, 3, 1])
    moved[0, 3] = 5
    others = {
        r"other sizes: 8×7×5 and 8×7×6": volume(tmp_path / "small.nii.gz", 9, size=(5, 7, 8)),
        "affines differ": volume(tmp_path / "moved.nii.gz", 9, affine=moved),
    }
    for problem, other in others.items():
        with pytest.raises(ImageError, match=problem) as caught:
            read_image(f"{sequences[0]}|{sequences[1]}|{other}")
        assert Path(other).name in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_missing_or_broken_file_is_named(sequences, tmp_path: Path) -> None:
    (tmp_path / "text.nii").write_text("no image")
    for broken in (str(tmp_path / "gone.nii.gz"), str(tmp_path / "text.nii")):
        with pytest.raises(ImageError) as caught:
            read_image(f"{sequences[0]}|{broken}")
        assert broken in caught.value.problem
    with pytest.raises(ImageError, match="empty file"):
        read_image(f"{sequences[0]}|")


def test_a_bar_in_a_name_stays_in_the_name(tmp_path: Path) -> None:
    odd = tmp_path / "left|right"
    odd.mkdir()
    names = ["a|b.png", "c.png", "d|e|f.png"]
    for number, name in enumerate(names):
        Picture.fromarray(np.full((4, 4), number, np.uint8)).save(odd / name)
    assert files_of("a|b.png", odd) == ("a|b.png",)
    assert files_of("|".join(names), odd) == tuple(names)
    joined = under(odd, "|".join(names))
    assert files_of(joined) == tuple(str(odd / name) for name in names)
    assert read_image(joined).pixels[:, 0, 0].tolist() == [0, 1, 2]
    assert read_image(under(odd, "a|b.png")).pixels.shape[0] == 1


def test_references_are_made_absolute_file_by_file(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert absolute("a.png|b/c.png#frame/1") == f"{tmp_path}/a.png|{tmp_path}/b/c.png#frame/1"
    assert under("/data", "a.png|/other/b.png") == "/data/a.png|/other/b.png"


def test_a_recipe_for_another_number_of_files_is_told_what_to_set(sequences) -> None:
    with pytest.raises(ImageError, match=r"names 4 files.*set preprocessing\.files=4"):
        channels_of(read_image("|".join(sequences)), 1)
    with pytest.raises(ImageError, match="names one file"):
        channels_of(read_image(sequences[0]), 4)
