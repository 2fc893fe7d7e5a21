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


def many(lines: int) -> list[str]:
    """Of a CSV file that is read in several goes."""
    return ["path,split,site", *(f"{number}.png,Train,site {number % 20}" for number in range(lines))]


@pytest.mark.parametrize(
    ("faults", "words"),
    [
        ({300: "300.png,trian,x", 600: "1"}, "line 301, column split: 'trian' is none of train"),
        ({300: "300.png", 301: ",,"}, "line 301: 1 cells where the header has 3 columns"),
        ({700: ",train,x"}, "line 701, column path: empty"),
        ({400: "7.png,,"}, "line 401, column path: 7.png is already on line 9"),
        ({299: '"x', 310: "310.png,nothing,"}, "after line 299: not readable as CSV"),
    ],
)
def test_of_many_lines_the_first_that_is_wrong_is_told(
    tmp_path: Path, faults: dict[int, str], words: str
) -> None:
    path, lines = tmp_path / "m.csv", many(800)
    for at, line in faults.items():
        lines[at] = line
    path.write_text("\n".join(lines))
    first = min(faults) - 1
    for read in (Manifest.read, lambda path: ManifestFile(path).looked_through()):
        with pytest.raises(UserError, match=words):
            read(path)
    if "already" in words:
        return
    seen: list[Row] = []
    with pytest.raises(UserError, match=words):
        seen.extend(ManifestFile(path).rows())
    assert [row.path for row in seen] == [f"{number}.png" for number in range(first)]


def test_a_long_manifest_says_the_same_in_columns_and_in_rows(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text("\n".join(many(800)))
    packed = Manifest.read(path)
    rows = Manifest(tuple(packed.rows), packed.base)
    assert packed.digest == rows.digest
    assert packed.where("site=site 3|site 4").rows == rows.where("site=site 3|site 4").rows
    seen = ManifestFile(path, ("site=site 3|site 4",)).looked_through()
    assert (seen.rows, seen.first.path) == (80, "3.png")
    for place in ("out.csv", "out.parquet", "deep/out.csv"):
        (tmp_path / "deep").mkdir(exist_ok=True)
        written = packed.write(tmp_path / place).read_bytes()
        assert rows.write(tmp_path / place).read_bytes() == written


@pytest.mark.parametrize("folder", ["", "a", "a/b", "a/b/c", "z", "../z"])
@pytest.mark.parametrize("base", ["", "a", "a/b"])
def test_paths_that_move_together_are_those_that_move_alone(tmp_path: Path, base: str, folder: str) -> None:
    """A hidden name has each path of a file looked at by itself."""
    paths = ["x.png", "a/x.png", "b/x.png", "a/b/x.png", "b", "x.npz#images/3"]
    target = tmp_path / "here" / folder / "m.csv"
    target.parent.mkdir(parents=True, exist_ok=True)
    found = []
    for hidden in ("x", ".x"):
        rows = tuple(Row(path) for path in (*paths, hidden))
        Manifest(rows, tmp_path / "here" / base).write(target)
        found.append([row.path for row in Manifest.read(target).rows][:-1])
    assert found[0] == found[1]
    where = [(target.parent / path).resolve() for path in found[0]]
    assert where == [tmp_path / "here" / base / path for path in paths]
