"""`secondread drift` on readings that are there."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from secondread.cli.main import app
from secondread.drift.of_readings import watch_readings
from secondread.errors import UserError
from secondread.readings.score import score


@pytest.fixture(scope="module")
def folder(fitted, phantoms, tmp_path_factory) -> Path:
    """Readings of all films of the test, the normal ones first."""
    place = tmp_path_factory.mktemp("watched") / "readings"
    score(fitted, phantoms, place, where=["split=test"], workers=0, progress=False)
    return place


def shifted(folder: Path, to: Path, copies: int) -> Path:
    """The same readings many times over, all with the highest score."""
    to.mkdir()
    for name in ("run.json", "acquisition.csv", "thumbnails.npz", "facts.jsonl", "studies.csv"):
        if (folder / name).exists() and name != "studies.csv":
            (to / name).write_bytes((folder / name).read_bytes())
    with (folder / "readings.csv").open(newline="") as file:
        head, *rows = csv.reader(file)
    highest = max((row for row in rows), key=lambda row: float(row[head.index("score")]))
    with (to / "readings.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(head)
        for number in range(copies):
            cells = dict(zip(head, highest, strict=True))
            cells |= {"path": f"{number}.png", "digest": f"{number:064x}", "study_id": "", "seen": ""}
            table.writerow(cells.values())
    return to


def test_the_command_writes_alarms_a_chart_and_what_to_do(folder, fitted, tmp_path) -> None:
    drifted = shifted(folder, tmp_path / "readings", 40)
    command = ["drift", str(drifted), "--bundle", str(fitted.path), "-o", str(tmp_path / "drift")]
    done = CliRunner().invoke(app, [*command, "--studies-per-year", "500", "--prevalence", "0.1"])
    assert done.exit_code == 1, done.output
    assert "secondread calibrate bundle MANIFEST" in done.output
    found = json.loads((tmp_path / "drift" / "drift.json").read_text())
    stream = found["streams"][0]
    assert {alarm["kind"] for alarm in stream["alarms"] if alarm["watcher"] == "cusum"} == {"higher"}
    assert len(stream["chart"]) == stream["studies"] == 40
    assert sum(stream["watchers"].values()) == pytest.approx(1)
    assert (tmp_path / "drift" / "drift.png").read_bytes().startswith(b"\x89PNG")
    assert "png" not in re.sub("drift.png", "", (tmp_path / "drift" / "drift.json").read_text())  # no path
    assert len((tmp_path / "drift" / "drift.csv").read_text().splitlines()) == 1 + len(stream["alarms"])


def test_normals_of_the_calibrations_kind_do_not_alarm(folder, fitted, tmp_path) -> None:
    found = watch_readings(folder, fitted.path, scanner=())
    assert found.alarms == 0
    assert [stream.scanner for stream in found.streams] == ["all"]
    assert found.streams[0].watch.studies == 12 - sum(found.left_out.values())
    own = watch_readings(folder, fitted.path, reference="own")
    assert own.streams[0].watch.plan.reference == ()


def test_readings_of_another_model_and_odd_promises_are_refused(folder, fitted, tmp_path) -> None:
    other = shifted(folder, tmp_path / "other", 1)
    record = (other / "run.json").read_text()
    (other / "run.json").write_text(record.replace(fitted.digest, "0" * 64))
    with pytest.raises(UserError, match="another model"):
        watch_readings(other, fitted.path)
    with pytest.raises(UserError, match="more than 0"):
        watch_readings(folder, fitted.path, studies_per_year=0)
    with pytest.raises(UserError, match="prevalence"):
        watch_readings(folder, fitted.path, prevalence=1.0)
