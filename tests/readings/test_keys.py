"""Scoring a DICOM folder: the ids of studies are hashed under a key that is kept."""

import os
from pathlib import Path

import pytest

from cohorts.dicom_files import write_dicom
from secondread import tables
from secondread.bundles.bundle import Bundle
from secondread.errors import UserError
from secondread.readings.readings import Readings
from secondread.readings.score_into import score_into


@pytest.fixture
def films(tmp_path: Path) -> Path:
    """Two studies of two films; the second film of each comes later."""
    for study in (1, 2):
        film(tmp_path / "films", study, 1)
    return tmp_path / "films"


def film(folder: Path, study: int, number: int) -> None:
    write_dicom(
        folder / f"{study}-{number}.dcm",
        Modality="DX",
        StudyInstanceUID=f"1.2.{study}",
        PatientID=f"MRN-{study}",
    )


def studies(out: Path) -> list[str]:
    header, *rows = tables.read_text((out / "studies.csv").read_text())
    return sorted(row[header.index("study_id")] for row in rows)


def test_a_resumed_run_knows_its_studies(fitted: Bundle, films: Path, tmp_path: Path) -> None:
    score_into(fitted, films, tmp_path / "out", workers=0)
    key = tmp_path / "out" / "readings.csv.key"
    assert key.stat().st_mode & 0o777 == 0o600
    before = studies(tmp_path / "out")
    for study in (1, 2):
        film(films, study, 2)
    score_into(fitted, films, tmp_path / "out", workers=0)
    assert studies(tmp_path / "out") == before
    assert len({row.study_id for row in Readings.read(tmp_path / "out").rows}) == 2
    score_into(fitted, films, tmp_path / "other", workers=0, key=key)
    assert studies(tmp_path / "other") == before
    assert not (tmp_path / "other" / "readings.csv.key").exists()


def test_readings_under_two_keys_are_not_mixed(fitted: Bundle, films: Path, tmp_path: Path) -> None:
    score_into(fitted, films, tmp_path / "out", workers=0)
    key = tmp_path / "site.key"
    key.write_text("0123456789abcdef0123456789abcdef")
    with pytest.raises(UserError, match="chmod 600"):
        score_into(fitted, films, tmp_path / "new", workers=0, key=key)
    os.chmod(key, 0o600)
    with pytest.raises(UserError, match="another key"):
        score_into(fitted, films, tmp_path / "out", workers=0, key=key)


def test_no_key_lies_in_the_open_in_the_record(fitted: Bundle, films: Path, tmp_path: Path) -> None:
    score_into(fitted, films, tmp_path / "out", workers=0)
    key = (tmp_path / "out" / "readings.csv.key").read_text().strip()
    for name in ("run.json", "readings.csv", "studies.csv", "facts.jsonl"):
        text = (tmp_path / "out" / name).read_text()
        assert key not in text
        assert "MRN-" not in text


def test_a_run_that_is_refused_leaves_no_key(fitted: Bundle, films: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="gone"):
        score_into(fitted, [films, tmp_path / "gone"], tmp_path / "out", workers=0)
    assert not (tmp_path / "out").exists()
    score_into(fitted, films, tmp_path / "kept", workers=0)
    with pytest.raises(UserError, match="gone"):
        score_into(fitted, [films, tmp_path / "gone"], tmp_path / "kept", workers=0)
    assert (tmp_path / "kept" / "readings.csv.key").exists()
