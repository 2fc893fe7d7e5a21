"""The file beside a header that holds its voxels: where it may lie, and that its change is a change."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from test_grid_headers import VOXELS, meta, nrrd, refusal

from secondread.cohorts.listing.index import index
from secondread.images.read import read_image
from secondread.images.read_header import read_header
from secondread.preprocessing.cache.cache import fingerprint_of

HEADERS = {
    "a.nhdr": lambda path, place: nrrd(path, b"", data_file=place),
    "a.mhd": lambda path, place: meta(path, b"", ElementDataFile=place),
}


@pytest.mark.parametrize("name", HEADERS)
def test_a_data_file_lies_beside_its_header_or_below(tmp_path: Path, name: str) -> None:
    outside = tmp_path / "outside.raw"
    folder = tmp_path / "images"
    (folder / "below").mkdir(parents=True)
    for path in (outside, folder / "a.raw", folder / "below" / "b.raw"):
        path.write_bytes(VOXELS.tobytes())
    for place in ("a.raw", "./a.raw", "below/b.raw"):
        np.testing.assert_array_equal(read_image(HEADERS[name](folder / name, place)).pixels[0], VOXELS)
    for place in ("../outside.raw", str(outside), "below/../../outside.raw", "C:/a.raw", ".."):
        assert "outside of its folder; put that file beside" in refusal(HEADERS[name](folder / name, place))
    assert "its data file gone.raw is not there; copy it" in refusal(HEADERS[name](folder / name, "gone.raw"))
    assert "its data file below is not a regular file" in refusal(HEADERS[name](folder / name, "below"))
    os.mkfifo(folder / "pipe")
    assert "its data file pipe is not a regular file" in refusal(HEADERS[name](folder / name, "pipe"))
    (folder / "short.raw").write_bytes(VOXELS.tobytes()[:-4])
    assert "truncated: 44 of 48 bytes of voxels" in refusal(HEADERS[name](folder / name, "short.raw"))
    (folder / "empty.raw").touch()
    assert "empty (0 bytes)" in refusal(HEADERS[name](folder / name, "empty.raw"), also_header=False)
    assert "names itself" in refusal(HEADERS[name](folder / name, name))


@pytest.mark.parametrize("name", HEADERS)
def test_other_voxels_are_another_image(tmp_path: Path, name: str) -> None:
    path, data = HEADERS[name](tmp_path / name, "a.raw"), tmp_path / "a.raw"
    data.write_bytes(VOXELS.tobytes())
    before, slice_before = read_image(path), read_image(f"{path}#slice/axial/1")
    seen = fingerprint_of(str(path)), fingerprint_of(f"{path}#slice/axial/1")
    data.write_bytes((VOXELS + 1).tobytes())
    after, slice_after = read_image(path), read_image(f"{path}#slice/axial/1")
    assert before.digest != after.digest
    np.testing.assert_array_equal(slice_after.pixels, slice_before.pixels + 1)
    assert all(
        one != other
        for one, other in zip(
            seen, (fingerprint_of(str(path)), fingerprint_of(f"{path}#slice/axial/1")), strict=True
        )
    )
    assert before.header["file_bytes"] == str(path.stat().st_size + data.stat().st_size)


def test_a_data_file_is_no_image_that_cannot_be_read(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    (folder / "raw").mkdir(parents=True)
    for name, header in HEADERS.items():
        place = f"raw/{name}.raw"
        header(folder / name, place)
        (folder / place).write_bytes(VOXELS.tobytes())
    (folder / "other.raw").write_bytes(VOXELS.tobytes())
    found = index(folder, manifest_path=tmp_path / "m.csv", workers=0)
    assert [row.path.rpartition("/")[2] for row in found.manifest.rows] == ["a.mhd", "a.nhdr"]
    assert [one.path for one in found.set_aside] == ["other.raw"]
    assert read_header(folder / "a.mhd").data_file == "raw/a.mhd.raw"
