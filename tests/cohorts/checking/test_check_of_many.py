"""A check of more rows than memory holds: rows and findings come one after the other, and a run goes on."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from secondread.cli.commands.data import check as command
from secondread.cli.main import app
from secondread.cohorts.checking.check import Finding, check, see
from secondread.cohorts.checking.findings import findings
from secondread.cohorts.checking.in_shards import Execute, How, here, see_in_shards
from secondread.cohorts.checking.inspection import Inspection
from secondread.cohorts.checking.seen_table import SeenTable
from secondread.cohorts.manifest import Manifest
from secondread.cohorts.manifest_file import ManifestFile
from secondread.cohorts.row import Row
from secondread.cohorts.shards import Outcome, Shard
from secondread.errors import DataError, UserError
from secondread.images.image import ImageError

SEEN = Inspection("digest", "content", (8, 9), 1, "MR", constant=True, facts={"rows": 8.0})
COPY = 8


@pytest.fixture
def film(tmp_path: Path) -> ManifestFile:
    """Ten pictures of five patients: one cannot be read, two are one picture, and one patient is in two
    splits."""
    rows = []
    for number in range(10):
        seed = 0 if number == COPY else number
        values = np.random.default_rng(seed).integers(0, 255, (8, 9 + number // 9))
        Image.fromarray(values.astype(np.uint8)).save(tmp_path / f"{number}.png")
        split = "test" if number > 4 else "train"
        label = "abnormal" if number % 2 else "normal"
        rows.append(Row(f"{number}.png", split, label, patient_id=f"p{number // 2}"))
    (tmp_path / "7.png").write_text("no picture")
    return ManifestFile(Manifest(tuple(rows), tmp_path).write(tmp_path / "manifest.csv"))


def run(*arguments: object, code: int) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, (result.output, result.exception)
    return result.output


def in_shards(
    film: ManifestFile, folder: Path, size: int | None = 2, execute: Execute = here
) -> list[Finding]:
    with closing(SeenTable()) as table:
        see_in_shards(
            table, film, film.looked_through(), How(folder, workers=0), execute, rows_per_shard=size
        )
        return [Finding(f.severity, f.kind, f.line, tuple(f.paths)) for f in findings(table)]


class Column(dict[str, str]):
    """Further columns of a row, of which one can see when nobody holds them any more."""


@pytest.mark.parametrize("workers", [0, 1])
def test_rows_are_taken_as_they_are_read_and_let_go(tmp_path: Path, workers: int) -> None:
    Image.fromarray(np.eye(8, dtype=np.uint8)).save(tmp_path / "a.png")
    alive: set[int] = set()
    most = 0

    def rows() -> Iterator[Row]:
        nonlocal most
        for number in range(60):
            column = Column(number=str(number))
            alive.add(number)
            weakref.finalize(column, alive.discard, number)
            most = max(most, len(alive))
            yield Row("a.png", extra=column)

    with closing(SeenTable()) as table:
        see(table, rows(), tmp_path, workers=workers)
        assert table.rows == 60
    assert most <= 8


def test_a_manifest_in_its_file_gives_what_its_rows_give(film: ManifestFile) -> None:
    found = check(film.path, workers=0)
    assert found == check(Manifest.read(film.path), workers=0)
    assert [one.kind for one in found if one.severity == "error"] == ["unreadable", "duplicate", "patients"]


def test_a_finding_about_many_images_holds_none_of_them() -> None:
    with closing(SeenTable()) as table:
        for number in range(2000):
            table.add(Row(f"{number}.png", patient_id=f"p{number}"), SEEN)
        table.finish()
        (constant,) = [found for found in findings(table) if found.kind == "constant"]
        assert constant.line == "2000 images (0.png, 1.png, 2.png and 1,997 more) of one value throughout"
        paths = iter(constant.paths)
        assert iter(paths) is paths
        assert [next(paths), next(paths)] == ["0.png", "1.png"]
        assert len(list(constant.paths)) == 2000


def test_a_full_disk_is_one_line() -> None:
    def fill(table: SeenTable) -> None:
        for number in range(5000):
            table.add(Row(f"{number}.png"), ImageError("a.png", "is no picture " * 9))

    with closing(SeenTable(most_pages=20)) as table, pytest.raises(UserError, match="no room left to write"):
        fill(table)


def test_names_that_are_no_utf_8_come_back() -> None:
    with closing(SeenTable()) as table:
        table.add(Row("caf\udce9.png", patient_id="é"), SEEN)
        table.finish()
        assert {path for found in findings(table) for path in found.paths} == {"caf\udce9.png"}


def test_shards_give_what_one_run_gives(film: ManifestFile, tmp_path: Path) -> None:
    assert in_shards(film, tmp_path / "kept") == check(film.path, workers=0)


def test_a_run_that_was_stopped_goes_on(film: ManifestFile, tmp_path: Path) -> None:
    def stopped(shards: Iterator[Shard], how: How) -> Iterator[Outcome]:
        yield next(here(shards, how))
        raise KeyboardInterrupt

    looked_at: list[int] = []

    def seen(shards: Iterator[Shard], how: How) -> Iterator[Outcome]:
        for outcome in here(shards, how):
            looked_at.append(outcome.number)
            yield outcome

    with pytest.raises(KeyboardInterrupt):
        in_shards(film, tmp_path / "kept", execute=stopped)
    found = in_shards(film, tmp_path / "kept", None, seen)
    assert looked_at == [1, 2, 3, 4]
    assert found == check(film.path, workers=0)
    # What could not be read is tried again, and nothing else.
    Image.fromarray(np.eye(9, dtype=np.uint8)).save(tmp_path / "7.png")
    looked_at.clear()
    assert "unreadable" not in {one.kind for one in in_shards(film, tmp_path / "kept", None, seen)}
    assert looked_at == [3]


def test_a_damaged_file_and_rows_that_changed_are_looked_at_again(film: ManifestFile, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    in_shards(film, kept)
    torn = kept / "000001.seen"
    torn.write_bytes(torn.read_bytes()[:-9])
    with pytest.raises(DataError, match=r"1 shard ended without a result, 000001 \(what was seen of it is"):
        in_shards(film, kept)
    rows = Manifest.read(film.path).rows
    Manifest((*rows[:8], rows[9]), tmp_path).write(film.path)
    assert in_shards(film, kept) == check(film.path, workers=0)


def test_other_shards_or_rows_are_refused(film: ManifestFile, tmp_path: Path) -> None:
    in_shards(film, tmp_path / "kept")
    with pytest.raises(UserError, match="cut into shards of 2 rows"):
        in_shards(film, tmp_path / "kept", 3)
    with pytest.raises(UserError, match=r"other rows of it \(\S+manifest\.csv\); remove it"):
        in_shards(ManifestFile(film.path, ("split=test",)), tmp_path / "kept")


def test_the_command_writes_the_same_table_in_shards_and_keeps_nothing_else(
    film: ManifestFile, tmp_path: Path
) -> None:
    assert "--shard-rows needs -o FILE" in run("check", film.path, "--shard-rows", 3, code=2)
    one, other = tmp_path / "one.csv", tmp_path / "other.csv"
    said = run("check", film.path, "--workers", 0, "-o", one, code=1)
    in_parts = run("check", film.path, "--workers", 0, "-o", other, "--shard-rows", 3, code=1)
    assert "checking: 10 images" in in_parts
    assert [line for line in in_parts.splitlines() if not line.startswith("checking")] == [
        line.replace("one.csv", "other.csv") for line in said.splitlines()
    ]
    assert one.read_text() == other.read_text()
    assert not (tmp_path / "other.csv.seen").exists()


def test_a_thousand_lines_of_one_kind_are_printed_and_all_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "MOST_LINES", 2)
    rows = tuple(Row(f"{number}.png", patient_id="a") for number in range(5))
    manifest = Manifest(rows, tmp_path).write(tmp_path / "m.csv")
    said = run("check", manifest, "--workers", 0, "-o", tmp_path / "f.csv", code=1)
    assert said.count("error: ") == 2
    assert "… and 3 more findings of the kind unreadable, in" in said
    assert (tmp_path / "f.csv").read_text().count("error,unreadable") == 5
