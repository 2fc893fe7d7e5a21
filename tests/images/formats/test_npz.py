from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from secondread.images.image import ImageError
from secondread.images.limits import ReadLimits
from secondread.images.read import list_members, read_image


@pytest.fixture
def archive(tmp_path: Path) -> tuple[Path, dict[str, np.ndarray]]:
    rng = np.random.default_rng(0)
    arrays = {
        "train_images": rng.integers(0, 256, (5, 8, 8), dtype=np.uint8),
        "val_images": rng.integers(0, 256, (4, 8, 8, 3), dtype=np.uint8),
        "test_images": rng.integers(0, 2, (3, 6, 7, 8), dtype=np.uint8),
        "train_labels": np.zeros((5, 1), np.uint8),
    }
    np.savez_compressed(tmp_path / "mnist.npz", **arrays)
    return tmp_path / "mnist.npz", arrays


def test_grey_colour_and_volumes_by_reference(archive: tuple[Path, dict[str, np.ndarray]]) -> None:
    path, arrays = archive
    for number in (3, 0, 4):
        np.testing.assert_array_equal(
            read_image(f"{path}#train_images/{number}").pixels[0], arrays["train_images"][number]
        )
    colour = read_image(f"{path}#val_images/1")
    np.testing.assert_array_equal(colour.pixels, np.moveaxis(arrays["val_images"][1], -1, 0))
    volume = read_image(f"{path}#test_images/2")
    assert volume.rank == 3
    np.testing.assert_array_equal(volume.pixels[0], arrays["test_images"][2])


def test_members_are_listed_without_reading_them(archive: tuple[Path, dict[str, np.ndarray]]) -> None:
    path, arrays = archive
    assert {member.name: member.shape for member in list_members(path)} == {
        k: v.shape for k, v in arrays.items()
    }


def test_digests_tell_images_of_one_archive_apart(archive: tuple[Path, dict[str, np.ndarray]]) -> None:
    path, _ = archive
    digests = {read_image(f"{path}#train_images/{number}").digest for number in range(5)}
    assert len(digests) == 5


@pytest.mark.parametrize(
    ("member", "said"),
    [
        ("", "an archive of arrays"),
        ("train_images", "an archive of arrays"),
        ("missing/0", "no array 'missing'"),
        ("train_images/5", "images 0 to 4"),
        ("train_labels/0", "no stack of images"),
    ],
)
def test_what_is_not_there_is_said(
    archive: tuple[Path, dict[str, np.ndarray]], member: str, said: str
) -> None:
    with pytest.raises(ImageError, match=said):
        read_image(f"{archive[0]}#{member}")


def test_a_huge_array_is_refused_from_its_header(archive: tuple[Path, dict[str, np.ndarray]]) -> None:
    with pytest.raises(ImageError, match="the limit is 10"):
        read_image(f"{archive[0]}#train_images/0", limits=ReadLimits(max_voxels=10))


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_an_array_that_is_damaged_anywhere_gives_no_image(tmp_path: Path, method: int) -> None:
    images = np.random.default_rng(0).integers(0, 256, (40, 16, 16), dtype=np.uint8)
    (np.savez if method == zipfile.ZIP_STORED else np.savez_compressed)(
        tmp_path / "x.npz", train_images=images
    )
    data = bytearray((tmp_path / "x.npz").read_bytes())
    data[6000:6200] = bytes(200)
    (tmp_path / "damaged.npz").write_bytes(data)
    for number in (0, 39):
        np.testing.assert_array_equal(
            read_image(f"{tmp_path}/x.npz#train_images/{number}").pixels[0], images[number]
        )
        with pytest.raises(ImageError, match=r"CRC|cannot be read"):
            read_image(f"{tmp_path}/damaged.npz#train_images/{number}")


@pytest.mark.parametrize("rows", [-1, 1])
def test_an_array_of_another_length_than_its_header_says_gives_no_image(tmp_path: Path, rows: int) -> None:
    buffer = io.BytesIO()
    np.save(buffer, np.zeros((5, 4, 4), np.uint8))
    longer = buffer.getvalue() + bytes(16) if rows > 0 else buffer.getvalue()[:-16]
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("train_images.npy", longer)
    with pytest.raises(ImageError, match="the header says 80 bytes of values"):
        read_image(f"{tmp_path}/x.npz#train_images/0")


def test_medmnist_is_read(shared_data: Path) -> None:
    path = shared_data / "medmnist" / "pneumoniamnist.npz"
    expected = np.load(path)["test_images"]
    for number in (600, 17):
        np.testing.assert_array_equal(read_image(f"{path}#test_images/{number}").pixels[0], expected[number])
    assert read_image(shared_data / "medmnist" / "adrenalmnist3d_dev.npz#train_images/3").size == (28, 28, 28)
