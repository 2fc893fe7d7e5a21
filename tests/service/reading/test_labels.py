"""What people say of studies comes to `evaluate` as a manifest and a folder of readings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from read_films import TELLING
from reading_service import Bundles, Service, film, service_of
from typer.testing import CliRunner

from secondread.bundles.bundle import Bundle
from secondread.cli.application import app
from secondread.cohorts.manifest import Manifest
from secondread.evaluation.evaluate import evaluate
from secondread.readings.readings import Readings
from secondread.service.store.jobs import now
from secondread.service.store.tables import Verdict

STUDIES = [f"1.2.3.{number}" for number in range(6)]


@pytest.fixture(scope="module")
def judged(fitted: Bundle, bundles: Bundles, tmp_path_factory: pytest.TempPathFactory) -> Service:
    """Six studies, of which people judged five; on one they are divided, and one changed her mind."""
    folder = tmp_path_factory.mktemp("judged")
    service = service_of(folder, fitted)
    ids = []
    for number, study in enumerate(STUDIES):
        path = film(folder / f"{number}.dcm", number, StudyInstanceUID=study)
        ids.append(service.receive(path, study=study))
    scorer = service.scorer(bundles)
    while scorer.next() is not None:
        pass
    said = [("a", 0, False), ("a", 1, True), ("b", 1, True), ("c", 1, False), ("a", 2, True), ("a", 2, False)]
    said += [("a", 3, True), ("b", 3, False), ("a", 4, True)]
    with service.database.write() as session:
        for person, number, abnormal in said:
            verdict = Verdict(
                study_id=ids[number], person=person, agrees=True, abnormal=abnormal, comment="Doe", at=now()
            )
            session.add(verdict)
    config = {"spool": "spool", "bundles": [{"name": "films", "bundle": str(fitted.path)}]}
    (folder / "service.yaml").write_text(json.dumps(config))
    return service


def run(*arguments: object) -> Any:
    return CliRunner().invoke(app, ["service", "labels", *map(str, arguments)])


def test_labels_and_readings_are_taken_by_evaluate(judged: Service, tmp_path: Path) -> None:
    config = judged.settings.spool.parent / "service.yaml"
    table, folder = tmp_path / "labels.csv", tmp_path / "readings"
    found = run(config, "-o", table, "--readings", folder)
    assert found.exit_code == 0, found.output
    assert "5 studies judged: 2 abnormal, 2 normal, 1 on which people are divided" in found.output
    manifest = Manifest.read(table)
    assert sorted(row.label for row in manifest.rows) == ["", "abnormal", "abnormal", "normal", "normal"]
    assert not any(word in table.read_text() for word in (*TELLING, *STUDIES))
    readings = Readings.read(folder)
    scores = {reading.score for study in judged.readings() for reading in [study]}
    assert {row.score for row in readings.rows} <= scores
    evaluation = evaluate(readings, manifest, bootstrap=20, workers=0)
    assert evaluation.metrics()["n"] == {"normal": 2, "abnormal": 2, "failed": 0} | {
        name: value
        for name, value in evaluation.metrics()["n"].items()
        if name not in ("normal", "abnormal", "failed")
    }


def test_labels_are_written_anew_with_the_same_command(judged: Service, tmp_path: Path) -> None:
    config, table = judged.settings.spool.parent / "service.yaml", tmp_path / "labels.csv"
    for _ in range(2):
        found = run(config, "-o", table, "--readings", tmp_path / "readings", "--quiet")
        assert (found.exit_code, found.output.strip()) == (0, str(table))
    assert len(Readings.read(tmp_path / "readings").rows) == 5


def test_a_bundle_that_is_not_there_is_told(judged: Service, tmp_path: Path) -> None:
    config = judged.settings.spool.parent / "service.yaml"
    found = run(config, "-o", tmp_path / "labels.csv", "--bundle", "chest")
    assert found.exit_code == 2
    assert "has no bundle chest; its bundles are films" in found.output


def test_without_a_verdict_there_is_nothing_to_write(fitted: Bundle, tmp_path: Path) -> None:
    config = {"spool": "spool", "bundles": [{"name": "films", "bundle": str(fitted.path)}]}
    (tmp_path / "service.yaml").write_text(json.dumps(config))
    service_of(tmp_path, fitted)
    found = run(tmp_path / "service.yaml", "-o", tmp_path / "labels.csv")
    assert found.exit_code == 2
    assert "nobody has judged a study" in found.output
    assert not (tmp_path / "labels.csv").exists()
