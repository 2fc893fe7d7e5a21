"""An archive read shard by shard is the folder that one run would have written, and goes on where it was."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from secondread import parquet
from secondread.bundles.bundle import Bundle
from secondread.cohorts.manifest import Manifest
from secondread.cohorts.manifest_file import ManifestFile
from secondread.cohorts.shards import shards_of
from secondread.errors import DataError, UserError
from secondread.readings.archive.as_parquet import write_parquet
from secondread.readings.archive.here import Here
from secondread.readings.archive.score_archive import score_archive
from secondread.readings.archive.score_shard import How, Outcome
from secondread.readings.archive.sent_bundle import SentBundle
from secondread.readings.readings import Readings
from secondread.readings.score_into import ScoreSummary, score_into
from secondread.readings.streamed import many_studies

Archive = Callable[..., ScoreSummary]


@pytest.fixture
def film(phantoms: Manifest, tmp_path: Path) -> ManifestFile:
    """Ten films of five studies, of which the second film cannot be read."""
    rows = phantoms.with_absolute_paths().where("split=test").rows[:10]
    studied = [replace(row, study_id=f"s{n // 2}", patient_id=f"p{n // 4}") for n, row in enumerate(rows)]
    studied[1] = replace(studied[1], path=str(tmp_path / "gone.png"))
    return ManifestFile(Manifest(tuple(studied), tmp_path).write(tmp_path / "manifest.csv"))


@pytest.fixture
def archive(fitted: Bundle, film: ManifestFile, tmp_path: Path) -> Archive:
    def run(rows: int | None = 3, manifest: ManifestFile = film, **how) -> ScoreSummary:
        return score_archive(
            fitted,
            manifest,
            How(tmp_path / "out", **{"workers": 0, **how}),
            lambda seen: Here(fitted),
            rows_per_shard=rows,
        )

    return run


def test_the_tables_are_those_of_one_run(
    fitted: Bundle, film: ManifestFile, archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(many_studies, "AT_ONCE", 3)
    whole = score_into(fitted, Manifest.read(film.path), tmp_path / "whole", workers=0)
    told = archive()
    assert (told.scored, told.earlier, told.flagged) == (9, 0, whole.flagged)
    assert (told.failed, told.highest) == (whole.failed, whole.highest)
    for table in ("readings.csv", "studies.csv"):
        assert (tmp_path / "out" / table).read_text() == (tmp_path / "whole" / table).read_text()
    one, other = Readings.read(tmp_path / "whole"), Readings.read(tmp_path / "out")
    assert (other.rows, other.fingerprints, other.acquisition) == (
        one.rows,
        one.fingerprints,
        one.acquisition,
    )
    assert other.thumbnails.keys() == one.thumbnails.keys()
    assert other.run.finished


def test_what_was_read_is_not_read_again(archive: Archive, tmp_path: Path) -> None:
    archive()
    before = (tmp_path / "out" / "readings.csv").read_text()
    shards = sorted((tmp_path / "out" / "shards").iterdir())
    assert len(shards) == 3
    assert archive(None).scored == 0
    (shards[1] / "shard.json").unlink()
    table = shards[1] / "readings.csv"
    table.write_text(table.read_text()[:-40])  # torn by a kill
    untouched = (shards[2] / "readings.csv").stat()
    assert archive().scored == 1
    assert (tmp_path / "out" / "readings.csv").read_text() == before
    assert (shards[2] / "readings.csv").stat().st_ino == untouched.st_ino


def test_rows_that_the_manifest_no_longer_has_leave_the_table(
    archive: Archive, film: ManifestFile, tmp_path: Path
) -> None:
    archive()
    rows = Manifest.read(film.path).rows
    Manifest((*rows[:5], *rows[6:]), tmp_path).write(film.path)
    archive()
    lines = (tmp_path / "out" / "readings.csv").read_text().splitlines()
    assert len(lines) == 10
    assert not any(rows[5].path in line for line in lines)


def test_rows_of_one_patient_that_follow_one_another_stay_together(film: ManifestFile) -> None:
    assert [len(shard.rows) for shard in shards_of(film, 3)] == [4, 4, 2]


def test_other_rows_or_shards_are_refused(
    archive: Archive, fitted: Bundle, film: ManifestFile, tmp_path: Path
) -> None:
    archive()
    with pytest.raises(UserError, match="cut into shards of 3 rows"):
        archive(4)
    with pytest.raises(UserError, match="other rows of it"):
        archive(manifest=ManifestFile(film.path, ("study_id=s0",)))
    with pytest.raises(UserError, match="holds readings in shards"):
        score_into(fitted, Manifest.read(film.path), tmp_path / "out", workers=0)


def test_a_shard_without_a_result_is_told_once_the_others_are_read(
    fitted: Bundle, film: ManifestFile, tmp_path: Path
) -> None:
    def one_is_lost(shards, how):
        shard = next(shards)
        yield Outcome(shard.number, lost="WorkerCrashedError: its worker died")
        yield from Here(fitted)(shards, how)

    how = How(tmp_path / "out", workers=0)
    with pytest.raises(DataError, match=r"1 shard ended without a result, shards/000000 \(WorkerCrashed"):
        score_archive(fitted, film, how, lambda seen: one_is_lost, rows_per_shard=3)
    summary = score_archive(fitted, film, how, lambda seen: Here(fitted))
    assert (summary.scored, summary.earlier) == (3, 6)


def test_readings_as_parquet_have_types(archive: Archive, tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow.parquet", reason="the extra secondread[tables] is not installed")
    archive()
    table = pyarrow.read_table(write_parquet(tmp_path / "out"))
    rows = Readings.read(tmp_path / "out").rows
    assert table["score"].to_pylist() == [row.score for row in rows]
    assert table["flagged"].to_pylist() == [row.flagged for row in rows]
    assert table["path"].to_pylist() == [row.path for row in rows]
    assert parquet.columns_of(tmp_path / "out" / "readings.parquet")[0] == "path"


def test_a_bundle_arrives_as_it_was_sent(fitted: Bundle) -> None:
    sent = SentBundle.of(Path(str(fitted.path)), fitted.digest, "cpu", ())
    assert sent.load().digest == fitted.digest
