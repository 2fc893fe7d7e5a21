"""`--verbose` and `--log-file`: what was done, for a person and for a program, and nothing of a patient."""

import json
import logging
import warnings
from pathlib import Path

import pytest
import typer
from test_commands import one_error, run
from typer.testing import CliRunner

from secondread.cli.help_pages import add_command
from secondread.cohorts.manifest import Manifest


def events(log: Path) -> list[dict]:
    return [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]


def test_a_log_says_what_was_done_and_goes_on(phantoms: Manifest, tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    split = ("split", phantoms.source, "-o", tmp_path / "m.csv", "--again", "--log-file", log, "-q")
    said = run(*split, "-v")
    told = events(log)
    assert [event["event"] for event in told] == ["command begun", "manifest read", "command ended"]
    assert told[0]["command"] == "split"
    assert "secondread" in told[0]
    assert told[1]["rows"] == len(phantoms.rows)
    assert told[-1]["exit_code"] == 0
    assert f"manifest read rows={len(phantoms.rows)}" in said
    run("split", tmp_path / "gone.csv", "-o", tmp_path / "n.csv", "--log-file", log, code=2)
    assert [event["exit_code"] for event in events(log) if event["event"] == "command ended"] == [0, 2]
    text = log.read_text()
    assert "gone.csv" not in text
    assert not any(row.path in text or row.patient_id in text for row in phantoms.rows)


def test_warnings_and_crashes_are_kept_without_what_they_say_of_a_patient(tmp_path: Path) -> None:
    def noisy() -> None:
        """Warn and fail."""
        packages = "/home/smith/env/site-packages"
        warnings.warn_explicit("'SMITH^JOHN' is invalid", UserWarning, f"{packages}/pydicom/valuerep.py", 4)
        warnings.warn_explicit("overflow in /data/smith/1.png", UserWarning, f"{packages}/numpy/core.py", 3)
        logging.getLogger("PIL.Image").warning("cannot read %s", "smith.png")
        logging.getLogger("ray").warning("spilling %d objects", 3)
        raise ValueError("smith")

    app = typer.Typer()
    add_command(app, noisy)
    log = tmp_path / "log.jsonl"
    with pytest.warns(UserWarning, match="is invalid|overflow"):
        assert CliRunner().invoke(app, ["--log-file", str(log)]).exit_code == 1
    told = events(log)[1:]
    assert [(event["event"], event.get("text")) for event in told] == [
        ("warning", None),
        ("warning", "overflow in …"),
        ("warning", ""),
        ("warning", "spilling %d objects"),
        ("crash", None),
    ]
    assert told[0]["at"] == "pydicom/valuerep.py:4"
    assert told[-1]["error"] == "ValueError"
    assert "test_log_file.py:" in told[-1]["at"]
    assert "smith" not in log.read_text().lower()


def test_a_log_never_goes_into_another_file_or_a_folder(phantoms: Manifest, tmp_path: Path) -> None:
    manifest = Path(phantoms.source)
    before = manifest.read_bytes()
    for place, words in ((manifest, "is another file and no log"), (tmp_path, "cannot be written")):
        said = one_error(run("check", phantoms.source, "--log-file", place, code=2))
        assert words in said
    assert manifest.read_bytes() == before


def test_nothing_listens_after_a_command(phantoms: Manifest, tmp_path: Path) -> None:
    before = list(logging.getLogger().handlers), warnings.showwarning, logging.getLogger("secondread").level
    run("split", phantoms.source, "-o", tmp_path / "m.csv", "--again", "-q", "-v")
    assert before == (
        list(logging.getLogger().handlers),
        warnings.showwarning,
        logging.getLogger("secondread").level,
    )
