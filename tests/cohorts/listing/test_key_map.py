"""The way back from hashed ids, for whoever holds the key."""

import os
from pathlib import Path

import pytest

from cohorts.dicom_files import write_dicom, write_series
from secondread.cohorts.listing.identities import key_mark, keyed_hash, read_key
from secondread.cohorts.listing.index import IndexResult, index
from secondread.cohorts.listing.key_map import KeyMap, MappedStudy, refuse_place, write_key_map
from secondread.errors import UserError


@pytest.fixture
def key(tmp_path: Path) -> Path:
    file = tmp_path / "site.key"
    file.write_text("0123456789abcdef0123456789abcdef")
    file.chmod(0o600)
    return file


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """One study of two CT series, one of two films, and one film without an accession number."""
    folder = tmp_path / "archive"
    for number in (1, 2):
        write_series(
            folder / f"ct{number}",
            StudyInstanceUID="1.2.1",
            SeriesInstanceUID=f"1.2.1.{number}",
            PatientID="MRN-1",
            AccessionNumber="ACC-1",
        )
        film(folder / f"film{number}.dcm", 2, AccessionNumber="ACC-2")
    film(folder / "film3.dcm", 3)
    return folder


def film(path: Path, study: int, **fields: object) -> None:
    write_dicom(path, Modality="DX", StudyInstanceUID=f"1.2.{study}", PatientID=f"MRN-{study}", **fields)


def listed(archive: Path, key: Path) -> IndexResult:
    return index(archive, key=key, with_studies=True, workers=0)


def mark_of(key: Path) -> str:
    return key_mark(read_key(key))


def test_each_study_is_told_once_with_what_its_headers_say(archive: Path, key: Path) -> None:
    found = listed(archive, key)
    hashed = [keyed_hash(read_key(key), "study", f"1.2.{study}") for study in (1, 2, 3)]
    assert {study.study_id: study for study in found.studies} == {
        hashed[0]: MappedStudy(hashed[0], "1.2.1", "ACC-1", "MRN-1", ("1.2.1.1", "1.2.1.2")),
        hashed[1]: MappedStudy(hashed[1], "1.2.2", "ACC-2", "MRN-2"),
        hashed[2]: MappedStudy(hashed[2], "1.2.3", "", "MRN-3"),
    }
    assert {row.study_id for row in found.manifest.rows} == set(hashed)
    assert index(archive, key=key, workers=0).studies == ()
    for text in (repr(found), repr(found.studies[0])):
        assert "MRN" not in text
        assert "ACC" not in text


def test_a_map_is_private_goes_on_and_comes_back(archive: Path, key: Path, tmp_path: Path) -> None:
    studies = listed(archive, key).studies
    path = tmp_path / "map.csv"
    notes = write_key_map(path, studies[:2], mark_of(key))
    assert path.stat().st_mode & 0o777 == 0o600
    notes += write_key_map(path, studies[1:], mark_of(key))
    assert notes == ["1 of 2 studies in the key map have no accession number in their files"]
    found = KeyMap.read(path)
    assert (tuple(found), found.key_mark) == (studies, mark_of(key))
    assert "MRN" not in repr(found)
    assert read_key(key).decode() not in path.read_text()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["archive", "map.csv", "site.key"]


def test_another_key_and_ids_that_were_kept_are_refused(archive: Path, key: Path, tmp_path: Path) -> None:
    path = tmp_path / "map.csv"
    studies = listed(archive, key).studies
    write_key_map(path, studies, mark_of(key))
    text = path.read_text()
    for mark in ("another", None):
        with pytest.raises(UserError, match="another key"):
            write_key_map(path, studies, mark)
    assert path.read_text() == text


def test_it_lies_in_no_folder_that_is_handed_on(tmp_path: Path) -> None:
    (tmp_path / "out" / "maps").mkdir(parents=True)
    with pytest.raises(UserError, match=r"lies in .*out; a key map leads back to patients"):
        refuse_place(tmp_path / "out" / "maps" / "map.csv", tmp_path / "out")
    (tmp_path / "out" / "run.json").write_text('{"made_by": "evaluate"}')
    with pytest.raises(UserError, match="output of `evaluate`; a key map"):
        refuse_place(tmp_path / "out" / "maps" / "map.csv")
    with pytest.raises(UserError, match=r"ends with \.csv"):
        refuse_place(tmp_path / "map")
    (tmp_path / "other.csv").write_text("path,label\n")
    os.chmod(tmp_path / "other.csv", 0o600)
    with pytest.raises(UserError, match="is no key map"):
        refuse_place(tmp_path / "other.csv")
    os.chmod(tmp_path / "other.csv", 0o644)
    with pytest.raises(UserError, match="chmod 600"):
        refuse_place(tmp_path / "other.csv")
    refuse_place(tmp_path / "map.csv", tmp_path / "out", None)
