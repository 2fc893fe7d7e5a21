"""A study is read as `score` reads its files, once, whatever ends a scorer."""

from __future__ import annotations

import errno
import logging
import threading
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
import pytest
from made_study import slices, write_clip, write_series
from read_films import TELLING
from reading_service import GATE, STUDY, Bundles, Service, film, made_service, service_of
from sqlalchemy import update

from secondread.bundles.bundle import Bundle
from secondread.cohorts.manifest import Manifest
from secondread.cohorts.row import Row
from secondread.fitting.fit import fit
from secondread.outputs.whole import cannot_write
from secondread.readings.readings import Readings
from secondread.readings.score import score
from secondread.recipes.recipe import Recipe
from secondread.service.reading import read_study as read_study_module
from secondread.service.reading import scorer as scorer_module
from secondread.service.reading.at_work import at_work
from secondread.service.reading.scorer import KIND, Scorer, run_scorer
from secondread.service.store.away import Stopped
from secondread.service.store.jobs import claim
from secondread.service.store.tables import Job

SENDING = {"dicom": [{"name": "pacs", "title": "PACS", "address": "127.0.0.1"}]}


def scores(readings: Readings) -> list[tuple[object, ...]]:
    rows = [
        (row.score, row.p_value, row.flagged, dict(row.parts), dict(row.baselines)) for row in readings.rows
    ]
    return sorted(rows, key=str)


def said(service: Service, **of: Any) -> list[tuple[object, ...]]:
    (reading,) = service.readings(**of)
    rows = [
        (one["score"], one["p_value"], one["flagged"], one["parts"], one["baselines"])
        for one in reading.images
    ]
    return sorted(rows, key=str)


def one_study(folder: Path) -> dict[str, list[Path]]:
    """Films, a series and a clip."""
    place = slices("oblique")
    write_series(folder / "series", place, place.origins[3], StudyInstanceUID=STUDY)
    clip = write_clip(
        folder / "clip.dcm",
        (header_pixels() % 251).astype("uint8"),
        StudyInstanceUID=STUDY,
        SeriesInstanceUID="1.2.3.5",
    )
    return {
        "films": [film(folder / f"{seed}.dcm", seed) for seed in (1, 2)],
        "series": sorted((folder / "series").iterdir()),
        "clip": [clip],
    }


def header_pixels() -> Any:
    import numpy as np

    return np.random.default_rng(5).integers(0, 4096, (3, 40, 36))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Path]]:
    return one_study(tmp_path_factory.mktemp("files"))


@pytest.fixture(scope="module")
def read_by(
    tmp_path_factory: pytest.TempPathFactory,
    mapping_bundle: Bundle,
    fitted: Bundle,
    files: dict[str, list[Path]],
) -> Service:
    """One study of films, slices and a clip, read by a bundle with maps and a shadow."""
    service = made_service(
        tmp_path_factory.mktemp("service"),
        [{"name": "films", "bundle": mapping_bundle.path, "gate": GATE, "shadow": [fitted.path]}],
        send=SENDING,
    )
    service.receive(*(file for some in files.values() for file in some))
    with at_work(service.settings) as bundles:
        scorer = service.scorer(bundles)
        assert scorer.next() == "read"
        assert scorer.next() is None
        yield service, bundles


@pytest.fixture(scope="module")
def read(read_by: tuple[Service, Bundles]) -> Service:
    return read_by[0]


@pytest.mark.parametrize("shadow", [False, True])
def test_scores_are_those_of_score_on_the_files_to_the_last_bit(
    read: Service, mapping_bundle: Bundle, fitted: Bundle, files: dict[str, list[Path]], shadow: bool
) -> None:
    bundle = fitted if shadow else mapping_bundle
    expected = score(bundle, [str(file) for some in files.values() for file in some], workers=0)
    assert len(expected.rows) == 2 + 7 + 3
    assert said(read, shadow=shadow) == scores(expected)


def test_the_reading_names_its_worst_image_scanner_and_features(read: Service) -> None:
    reading, shadow = read.readings()
    study = read.study()
    assert study.state == "read"
    assert (study.score, study.p_value, study.flagged) == (reading.score, reading.p_value, reading.flagged)
    assert study.bundle == reading.bundle == "films"
    assert reading.score == max(image["score"] for image in reading.images)
    assert reading.worst in {image["instance"] for image in reading.images}
    assert reading.scanner == "s1"
    facts = reading.facts
    assert len(facts["features"]) == len(facts["feature_names"])
    assert all(isinstance(value, float) for value in facts["features"])
    assert facts["acquisition"]["rows"] > 0
    assert (reading.shadow, shadow.shadow) == (False, True)
    assert (shadow.bundle, shadow.facts["beside"]) == ("bundle", "films")


def test_results_lie_in_the_spool_and_are_to_be_sent_once(read: Service) -> None:
    reading, _ = read.readings()
    results = read.results()
    assert {result.reading_id for result in results} == {reading.id}
    kinds = {Path(result.path).name for result in results}
    assert "report.dcm" in kinds
    assert len(kinds) > 1
    assert all(read.spool.path_of(result.path).is_file() for result in results)
    assert [job.key for job in read.jobs("send")] == [f"{reading.id}:pacs"]
    assert not (read.spool.path_of(reading.folder) / ".source").exists()


def test_two_runs_give_results_of_the_same_uids(
    read_by: tuple[Service, Bundles],
    mapping_bundle: Bundle,
    files: dict[str, list[Path]],
    tmp_path: Path,
) -> None:
    read, bundles = read_by
    again = service_of(tmp_path, mapping_bundle)
    again.receive(*(file for some in reversed(files.values()) for file in reversed(some)))
    assert again.scorer(bundles[:1]).next() == "read"
    uids = [result.sop_instance_uid for result in again.results()]
    assert uids == [result.sop_instance_uid for result in read.results()]


def test_a_late_image_has_the_study_read_again_and_moves_results(
    fitted: Bundle, bundles: Bundles, tmp_path: Path
) -> None:
    service = service_of(tmp_path, fitted)
    first, second = film(tmp_path / "1.dcm", 1), film(tmp_path / "2.dcm", 2)
    service.receive(first)
    scorer = service.scorer(bundles)
    scorer.next()
    service.receive(second)
    assert scorer.next() == "read"
    revisions = [(reading.revision, len(reading.images)) for reading in service.readings()]
    assert revisions == [(1, 1), (2, 2)]
    assert service.study().score == service.readings()[-1].score


def test_a_study_of_two_patients_says_so_and_each_gets_results_of_his_own(
    fitted: Bundle, bundles: Bundles, tmp_path: Path
) -> None:
    service = service_of(tmp_path, fitted)
    service.receive(film(tmp_path / "1.dcm", 1, PatientID="first"))
    service.receive(film(tmp_path / "2.dcm", 2, PatientID="second"), other_patient="second")
    assert service.scorer(bundles).next() == "another's"
    assert service.scorer(bundles).next() == "read"
    assert service.study().reason.startswith("its images name several patients")
    reports = [pydicom.dcmread(service.spool.path_of(one.path)) for one in service.results()]
    assert sorted(str(one.PatientID) for one in reports) == ["first", "second"]
    for one in reports:
        (item,) = one.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence
        assert len(item.ReferencedSOPSequence) == 1


def test_an_image_that_comes_while_the_study_is_read_leaves_that_to_the_next_job(
    fitted: Bundle, bundles: Bundles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = service_of(tmp_path, fitted)
    service.receive(film(tmp_path / "1.dcm", 1))
    late = film(tmp_path / "2.dcm", 2)
    write_now = Scorer._write

    def late_one(self: Scorer, *given: Any) -> None:
        if service.study().revision == 1:
            service.receive(late)
        write_now(self, *given)

    monkeypatch.setattr(Scorer, "_write", late_one)
    scorer = service.scorer(bundles)
    assert scorer.next() == "another's"
    assert service.readings() == []
    assert scorer.next() == "read"
    (reading,) = service.readings()
    assert (reading.revision, len(reading.images)) == (2, 2)
    assert folders(service) == [reading.folder]


def folders(service: Service) -> list[str]:
    found = [path for path in service.spool.readings.glob("*/*/*") if path.is_dir()]
    return [service.spool.name_of(path) for path in found]


def test_a_claim_that_was_given_to_another_leaves_no_trace(
    fitted: Bundle, bundles: Bundles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = service_of(tmp_path, fitted)
    service.receive(film(tmp_path / "1.dcm", 1))
    write_now = Scorer._write

    def taken_away(self: Scorer, *given: Any) -> None:
        if self.worker == "slow":
            with service.database.write() as session:
                session.execute(update(Job).values(state="waiting", worker=None))
            quick = service.scorer(bundles, "quick")
            assert quick.next() == "read"
        write_now(self, *given)

    monkeypatch.setattr(Scorer, "_write", taken_away)
    slow = service.scorer(bundles, "slow")
    assert slow.next() == "another's"
    (reading,) = service.readings()
    assert folders(service) == [reading.folder]
    assert [job.state for job in service.jobs()] == ["done"]


def test_a_poisoned_study_is_set_aside_after_its_tries_and_others_are_read(
    fitted: Bundle, bundles: Bundles, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    service = service_of(tmp_path, fitted, tries=2)
    broken = film(tmp_path / "broken.dcm", 1)
    data = broken.read_bytes()
    broken.write_bytes(data[: data.index(b"\xe0\x7f\x10\x00") + 40])
    service.receive(broken)
    service.receive(film(tmp_path / "2.dcm", 2, StudyInstanceUID="1.2.3.9"), study="1.2.3.9")
    scorer = service.scorer(bundles)
    with caplog.at_level(logging.INFO):
        outcomes = [scorer.next() for _ in range(4)]
    assert sorted(map(str, outcomes)) == ["None", "failed", "failed", "read"]
    study, (job, _) = service.study(), service.jobs()
    assert (study.state, job.state, job.tries) == ("set aside", "set aside", 2)
    assert "films: " in study.reason
    assert not any(word in study.reason + caplog.text for word in TELLING)
    assert service.study("1.2.3.9").state == "read"
    assert len(folders(service)) == 1


def test_a_study_that_ends_its_scorer_is_set_aside_unread(
    fitted: Bundle, bundles: Bundles, tmp_path: Path
) -> None:
    service = service_of(tmp_path, fitted, tries=1)
    service.receive(film(tmp_path / "1.dcm", 1))
    assert claim(service.database, [KIND], "killed") is not None
    with service.database.write() as session:
        session.execute(update(Job).values(state="waiting", worker=None))
    scorer = service.scorer(bundles)
    assert scorer.next() == "failed"
    assert service.study().reason == "its scorer ended 1 times while reading it"


def test_a_study_is_given_back_when_the_service_stops(
    fitted: Bundle, bundles: Bundles, tmp_path: Path
) -> None:
    service = service_of(tmp_path, fitted)
    service.receive(film(tmp_path / "1.dcm", 1))
    stop = threading.Event()
    stop.set()
    scorer = service.scorer(bundles, stop=stop)
    with pytest.raises(Stopped):
        scorer.next()
    (job,) = service.jobs()
    assert (job.state, job.tries, service.study().state) == ("waiting", 0, "waiting")
    assert folders(service) == []


def test_a_full_disk_gives_the_study_back_and_counts_no_try(
    fitted: Bundle, bundles: Bundles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = service_of(tmp_path, fitted)
    service.receive(film(tmp_path / "1.dcm", 1))
    monkeypatch.setattr(scorer_module, "FULL_S", 0.0)

    def no_room(*given: object, **named: object) -> None:
        error = OSError(errno.ENOSPC, "No space left on device")
        raise cannot_write(tmp_path, error) from error

    with monkeypatch.context() as patched:
        patched.setattr(read_study_module, "score_gathered", no_room)
        assert service.scorer(bundles).next() == "given back"
    (job,) = service.jobs()
    assert (job.state, job.tries, service.study().state) == ("waiting", 0, "waiting")
    assert folders(service) == []
    assert service.scorer(bundles).next() == "read"


def test_what_no_bundle_takes_is_not_read_and_says_why(
    fitted: Bundle, bundles: Bundles, tmp_path: Path
) -> None:
    bundle = {"name": "films", "bundle": fitted.path, "takes": {"modality": ["DX"], "view": ["PA", "AP"]}}
    service = made_service(tmp_path, [bundle])
    service.receive(film(tmp_path / "1.dcm", 1), view="LL")
    scorer = service.scorer(bundles)
    assert scorer.next() == "not read"
    study = service.study()
    assert (study.state, study.score) == ("not read", None)
    assert study.reason.endswith("films: view LL, and the bundle takes PA or AP")
    assert service.readings() == []


def test_a_reason_names_no_command_and_no_manifest(fitted: Bundle, bundles: Bundles, tmp_path: Path) -> None:
    service = service_of(tmp_path, fitted)
    made = pydicom.dcmread(film(tmp_path / "1.dcm", 1))
    del made.PixelData
    made.save_as(tmp_path / "1.dcm")
    service.receive(tmp_path / "1.dcm")
    scorer = service.scorer(bundles)
    while scorer.next() is not None:
        pass
    assert service.study().reason == "films: a DICOM file without pixels (DX)"


@pytest.fixture(scope="module")
def volumes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle for volumes."""
    folder = tmp_path_factory.mktemp("volumes")
    draws = np.random.default_rng(0)
    for number in range(12):
        drawn = draws.random((16, 16, 8), dtype=np.float32)
        nibabel.Nifti1Image(drawn, np.eye(4)).to_filename(folder / f"{number}.nii")
    rows = [Row(f"{number}.nii", "train", "normal") for number in range(12)]
    recipe = {"preprocessing": {"size": [8, 16, 16]}, "detector": {"name": "intensity"}}
    fit(
        Recipe.from_mapping(recipe), Manifest(tuple(rows), folder), folder / "bundle",
        workers=0, device="cpu", progress=False,
    )  # fmt: skip
    return folder / "bundle"


@pytest.mark.parametrize("given", ["film", "slice"])
def test_a_sound_study_that_does_not_fit_the_bundle_is_not_read_and_rings_nothing(
    volumes: Path, tmp_path: Path, given: str
) -> None:
    """As a scout of one slice, which comes each day: another try would mend nothing."""
    service = made_service(tmp_path, [{"name": "heads", "bundle": volumes, "gate": GATE}])
    if given == "film":
        service.receive(film(tmp_path / "1.dcm", 1))
    else:
        place = slices("oblique")
        write_series(tmp_path / "series", place, place.origins[3], StudyInstanceUID=STUDY)
        service.receive(sorted((tmp_path / "series").iterdir())[0])
    with at_work(service.settings) as found:
        assert service.scorer(found).next() == "not read"
    study = service.study()
    assert study.state == "not read"
    assert study.reason.startswith("heads: has 2 spatial axes")
    assert [job.state for job in service.jobs()] == ["done"]


def test_the_process_reads_until_it_is_told_to_stop(fitted: Bundle, tmp_path: Path) -> None:
    service = service_of(tmp_path, fitted)
    service.receive(film(tmp_path / "1.dcm", 1))
    stop = threading.Event()
    thread = threading.Thread(target=run_scorer, args=(service.settings, stop))
    thread.start()
    for _ in range(600):
        if service.study().state == "read":
            break
        stop.wait(0.05)
    stop.set()
    thread.join(timeout=30)
    assert not thread.is_alive()
    assert service.study().state == "read"


def test_two_scorers_read_each_study_once(fitted: Bundle, bundles: Bundles, tmp_path: Path) -> None:
    service = service_of(tmp_path, fitted)
    studies = [f"1.2.3.{number}" for number in range(4)]
    for number, study in enumerate(studies):
        service.receive(film(tmp_path / f"{number}.dcm", number, StudyInstanceUID=study), study=study)
    with at_work(service.settings) as others:
        scorers = service.scorer(bundles, "a"), service.scorer(others, "b")
        threads = [threading.Thread(target=drain, args=(one,)) for one in scorers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [job.state for job in service.jobs()] == ["done"] * 4
    assert len(service.readings()) == 4


def drain(scorer: Scorer) -> None:
    while scorer.next() is not None:
        pass
