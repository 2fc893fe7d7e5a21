"""Manifests in Parquet files, and manifests that stay in their files."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest

from secondread.cohorts.manifest import Manifest
from secondread.cohorts.manifest_file import ManifestFile
from secondread.cohorts.row import Row
from secondread.errors import UserError
from secondread.outputs.folders import table_place

pytest.importorskip("pyarrow", reason="the extra secondread[tables] is not installed")

ROWS = (
    Row("a.png", "train", "normal", study_id="s1", extra={"age": "63", "view": "PA"}),
    Row("films/caf\udce9.png", "test", "", extra={"age": "", "view": "AP"}),
    Row("'%41.png", "test", "abnormal", "nodule", mask="m.png", extra={"age": "7.5", "view": "=AP"}),
)


@pytest.fixture(params=["manifest.csv", "manifest.parquet"])
def file(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    return Manifest(ROWS, tmp_path).write(tmp_path / request.param)


def test_rows_come_back_from_either_kind_of_file(file: Path) -> None:
    assert Manifest.read(file).rows == ROWS
    assert Manifest.read(file).digest == Manifest(ROWS, file.parent).digest
    assert table_place(file, ("path",), "manifest") == file


def test_a_file_is_looked_through_as_its_manifest_says(file: Path) -> None:
    found = ManifestFile(file, ("split=test", "view!=PA"))
    kept = Manifest.read(file).where("split=test")
    assert tuple(found.rows()) == kept.rows
    seen = found.looked_through()
    assert (seen.rows, seen.digest, seen.first) == (2, kept.digest, ROWS[1])
    absolute = kept.with_absolute_paths()
    assert tuple(found.with_absolute_paths()) == absolute.rows


def test_typed_columns_become_what_a_person_would_write(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {"Path": ["a", "b"], "age": [63.0, None], "front": [True, False], "label": ["normal", None]}
    pq.write_table(pa.table(columns), tmp_path / "m.parquet")
    found = Manifest.read(tmp_path / "m.parquet")
    assert found.rows[0] == Row("a", label="normal", extra={"age": "63", "front": "1"})
    assert found.rows[1] == Row("b", extra={"age": "", "front": "0"})
    assert "column Path is read as path" in found.notes[0]


@pytest.mark.parametrize(
    ("text", "where", "words"),
    [
        ("path\na\nb\na\n", (), "line 4, column path: a is already on line 2"),
        ("path\n", (), "the manifest is empty"),
        ("path\na\n", ("split=test",), "no row meets split=test"),
        ("path\na\n", ("view=PA",), "no column 'view'"),
        ("path,split\na,tset\n", (), "line 2, column split: 'tset'"),
        ("path,split\na,\na,\nb,tset\n", (), "line 3, column path: a is already on line 2"),
        ("path,split\na,\nb,tset\na,\n", (), "line 3, column split"),
    ],
)
def test_what_is_wrong_is_told_as_of_a_manifest(tmp_path: Path, text: str, where, words: str) -> None:
    path = tmp_path / "m.csv"
    path.write_text(text)
    with pytest.raises(UserError) as told:
        ManifestFile(path, where).looked_through()
    assert words in str(told.value)
    with pytest.raises(UserError) as held:
        Manifest.read(path).where(*where)
    assert str(told.value) == str(held.value)


def test_a_damaged_parquet_file_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "m.parquet"
    Manifest(ROWS, tmp_path).write(path)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(UserError, match="no Parquet file that can be read"):
        Manifest.read(path)


def test_rows_are_not_held(tmp_path: Path) -> None:
    """A look through 10,000 rows, which take some 7 MB as a manifest, holds less than a tenth of that."""
    path = tmp_path / "m.csv"
    with path.open("w") as out:
        out.write("path,study_id\n")
        out.writelines(f"films/{n:06d}.png,study-{n // 2}\n" for n in range(10_000))
    tracemalloc.start()
    assert ManifestFile(path).looked_through().rows == 10_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 600 << 10
