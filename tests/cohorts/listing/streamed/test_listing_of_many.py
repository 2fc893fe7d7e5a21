"""What index sees of an archive's files, in tables on the disk."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cohorts.dicom_files import write_series
from secondread.cohorts.listing import listing as listings
from secondread.cohorts.listing.index import index
from secondread.cohorts.listing.listing import listing
from secondread.cohorts.listing.options import IndexOptions
from secondread.cohorts.listing.streamed import reading
from secondread.cohorts.listing.streamed.file_table import FileTable
from secondread.cohorts.listing.streamed.header_text import header_of, header_text
from secondread.cohorts.listing.streamed.kept_headers import KeptHeaders
from secondread.cohorts.listing.streamed.natural_key import natural_key
from secondread.cohorts.listing.streamed.reading import HeadersRead, Here, Piece, Read, read_headers
from secondread.cohorts.listing.streamed.row_table import RowTable
from secondread.cohorts.manifest import Manifest
from secondread.cohorts.manifest_writing import rows_where, write_manifest
from secondread.cohorts.row import Row
from secondread.errors import UserError
from secondread.images.read_header import read_header
from secondread.natural_order import natural
from secondread.outputs.temporary_database import TemporaryDatabase


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of seven pictures, one of them broken, and of a series of four slices, read two at a time."""
    for module in (reading, listings):
        monkeypatch.setattr(module, "AT_ONCE", 2)
    folder = tmp_path / "archive"
    for number in range(6):
        place = folder / ("normal" if number % 2 else "nodule") / f"{number}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((4, 4), number, np.uint8)).save(place)
    (folder / "nodule" / "broken.png").write_bytes(b"no picture")
    write_series(folder / "ct")
    return folder


class Stopped:
    """Reads some pieces and is interrupted."""

    def __init__(self, base: Path, pieces: int) -> None:
        self.here, self.left = Here(base, 0), pieces
        self.read: list[str] = []

    def __call__(self, pieces: Iterator[Piece]) -> Iterator[Read]:
        for found in self.here(pieces):
            if not self.left:
                raise KeyboardInterrupt
            self.left -= 1
            self.read += [path for _, path in found.files]
            yield found


def paths_below(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def read_into(
    database: TemporaryDatabase, folder: Path, read: reading.ReadPieces, output: Path | None = None
) -> tuple[FileTable, HeadersRead]:
    files = FileTable(database)
    files.add_paths(paths_below(folder))
    if output is None:
        return files, read_headers(files, folder, read, None, lambda path: False)
    with KeptHeaders(output, folder) as kept:
        return files, read_headers(files, folder, read, kept, lambda path: False)


def test_an_interrupted_index_goes_on_and_reads_what_has_changed(archive: Path, tmp_path: Path) -> None:
    output = tmp_path / "manifest.csv"
    kept = tmp_path / ".manifest.csv.headers"
    with closing(TemporaryDatabase("a test")) as database, pytest.raises(KeyboardInterrupt):
        read_into(database, archive, Stopped(archive, 2), output)
    assert kept.stat().st_mode & 0o777 == 0o600
    first = paths_below(archive)[0]
    with (archive / first).open("ab") as file:
        file.write(b"\0")
    rest = Stopped(archive, 99)
    with closing(TemporaryDatabase("a test")) as database:
        files, _ = read_into(database, archive, rest, output)
        assert rest.read == [first, *paths_below(archive)[4:]]
        assert len(files) == len(paths_below(archive)) - 1
    assert not kept.exists()


def test_headers_of_another_source_or_a_torn_file_are_read_anew(archive: Path, tmp_path: Path) -> None:
    output, kept = tmp_path / "manifest.csv", tmp_path / ".manifest.csv.headers"
    for torn in (False, True):
        with closing(TemporaryDatabase("a test")) as database, pytest.raises(KeyboardInterrupt):
            read_into(database, archive, Stopped(archive, 2), output)
        if torn:
            kept.write_bytes(b"torn" * 1000)
        place = archive if torn else archive / "ct"
        again = Stopped(place, 99)
        with closing(TemporaryDatabase("a test")) as database:
            read_into(database, place, again, output)
        assert again.read == paths_below(place)


def test_pieces_may_come_back_in_any_order(archive: Path) -> None:
    here = Here(archive, 0)

    def backwards(pieces: Iterator[Piece]) -> Iterator[Read]:
        return reversed(list(here(pieces)))

    seen = []
    for read in (here, backwards):
        with closing(TemporaryDatabase("a test")) as database:
            files, told = read_into(database, archive, read)
            series = [[file.path for file in some] for some in files.by_series()]
            seen.append((list(files.items()), told.unreadable, told.dicom.lines, series))
    assert seen[0] == seen[1]
    assert [path for path, _ in seen[0][0]] == [p for p in paths_below(archive) if "broken" not in p]


def test_a_streamed_manifest_is_that_of_the_list(archive: Path, tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("0" * 32)
    key.chmod(0o600)
    options = IndexOptions(manifest_path=tmp_path / "one.csv", key=key, workers=0, resumable=True)
    with listing(archive, options) as found:
        rows = rows_where(found.rows, ["label=normal"], "archive")
        written = write_manifest(tmp_path / "one.csv", rows, found.base)
    listed = index(archive, manifest_path=tmp_path / "two.csv", key=key, workers=0, where=["label=normal"])
    listed.manifest.write(tmp_path / "two.csv")
    assert (tmp_path / "one.csv").read_text() == (tmp_path / "two.csv").read_text()
    assert (written.rows, written.digest) == (3, listed.manifest.digest)
    assert len(Manifest.read(tmp_path / "one.csv").rows) == 3
    assert found.warnings == listed.warnings
    assert sorted(path.name for path in tmp_path.iterdir()) == ["archive", "key", "one.csv", "two.csv"]


def test_rows_are_sorted_as_people_count() -> None:
    draws = random.Random(0)
    paths = ["".join(draws.choices("ab/0129.\1ä\uffff😀-", k=draws.randrange(7))) for _ in range(3000)]
    paths += [f"{'0' * zeros}7{end}" for zeros in range(3) for end in ("", "x", "/")] + ["9" * 40]
    assert sorted(paths, key=natural) == sorted(paths, key=natural_key)
    rows = [Row(path, extra={"place": str(place)}) for place, path in enumerate(paths)]
    with closing(TemporaryDatabase("a test")) as database:
        table = RowTable(database, "rows")
        table.add_by_path(rows)
        assert list(table) == list(table) == sorted(rows, key=lambda row: natural(row.path))


def test_a_header_comes_back_from_its_text(tmp_path: Path) -> None:
    for path in (*write_series(tmp_path / "ct").iterdir(),):
        header = replace(read_header(path), position=(0.1, -2.5e-7, 1 / 3), names=("Ä\udce9",))
        assert header_of(header_text(header), header.path) == header


def test_a_full_disk_is_one_line() -> None:
    with closing(TemporaryDatabase("what index sees of each file", most_pages=16)) as database:
        files = FileTable(database)
        with pytest.raises(UserError, match=r"what index sees of each file: no room left .* TMPDIR"):
            files.add_paths(f"{number}.png" for number in range(10_000))
