"""What was given by hand is never overwritten, and a place where nothing can be written is said in a line."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from test_commands import one_error, run

from secondread.cohorts.manifest import Manifest


@pytest.fixture
def films(phantoms: Manifest, tmp_path: Path) -> Path:
    for split in ("train", "test"):
        for row in [row for row in phantoms.rows if row.split == split][:4]:
            place = tmp_path / "films" / row.path
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(phantoms.reference(row), place)
    return tmp_path / "films"


def edited(table: Path) -> bytes:
    table.write_text(table.read_text().removesuffix("\n"))
    return table.read_bytes()


def test_labels_that_were_edited_by_hand_stay(films: Path, tmp_path: Path) -> None:
    listing, split = tmp_path / "lab.csv", tmp_path / "split.csv"
    commands = (
        ("index", films, "-o", listing, "--workers", 0),
        ("split", listing, "-o", split, "--again"),
        ("check", split, "-o", tmp_path / "found.csv", "--workers", 0),
    )
    for command in commands:
        run(*command)
        run(*command)  # the same again, and nobody has touched its table
        before = edited(Path(command[3]))
        said = one_error(run(*command, code=2))
        assert "there already, and what was changed in it by hand would be lost" in said
        assert "--force" in said
        assert Path(command[3]).read_bytes() == before
        run(*command, "--force")
        assert Path(command[3]).read_bytes() != before


def test_another_command_replaces_no_table_even_if_it_is_as_it_was_written(
    films: Path, tmp_path: Path
) -> None:
    run("index", films, "-o", tmp_path / "m.csv", "--workers", 0)
    said = run("index", films / "train", "-o", tmp_path / "m.csv", "--workers", 0, code=2)
    assert "replace it with --force" in one_error(said)


@pytest.mark.parametrize(
    "command", ["index", "split", "check", "evaluate", "compare", "demo", "anomalies", "fit"]
)
def test_an_output_below_a_file_is_one_line_before_any_work(
    phantoms: Manifest, tmp_path: Path, command: str
) -> None:
    (tmp_path / "file").write_text("text")
    manifest = phantoms.base / "manifest.csv"
    given: dict[str, tuple[object, ...]] = {
        "index": (phantoms.base / "train",),
        "evaluate": (tmp_path / "readings.csv", manifest),
        "compare": (manifest, "--recipes", "spectrum"),
        "demo": (),
        "fit": ("spectrum", manifest),
    }
    said = run(command, *given.get(command, (manifest,)), "-o", tmp_path / "file" / "deeper" / "out", code=2)
    assert f"{tmp_path}/file is no folder; choose another place with -o" in one_error(said)


def test_folders_that_are_missing_above_a_table_are_made(films: Path, tmp_path: Path) -> None:
    run("index", films, "-o", tmp_path / "new" / "deeper" / "m.csv", "--workers", 0)
    run("split", tmp_path / "new" / "deeper" / "m.csv", "-o", tmp_path / "other" / "s.csv", "--again")
    assert len(Manifest.read(tmp_path / "other" / "s.csv")) == 8
