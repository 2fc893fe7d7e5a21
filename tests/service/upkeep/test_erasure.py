"""Everything of a patient goes, of nobody else, and nothing that stays says who it was."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import select
from upkeep_service import NAME, Service

from secondread.errors import UserError
from secondread.service.intake.arrivals import Arrival, record
from secondread.service.intake.header import Told
from secondread.service.spool.files import Kept
from secondread.service.store.jobs import LostClaim, claim, finish
from secondread.service.store.tables import Audit, Instance, Study
from secondread.service.upkeep.erasure import erase_patient
from secondread.service.upkeep.retention import Retention


def bytes_of(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


def test_all_of_a_patient_goes_and_nothing_of_others(service: Service) -> None:
    service.study("9.1", patient="other")
    rows, files = service.rows(), service.files()
    service.study("1.1", patient="P-1234567")
    service.study("1.2", patient="P-1234567", state="waiting", job="waiting")
    assert b"P-1234567" in bytes_of(service.spool.folder)
    held, clean = erase_patient(service.database, service.spool, "P-1234567", "[root]")
    assert str(held) == "2 studies, 4 instances, 1 reading, 2 results, 1 verdict, 2 jobs"
    assert (service.rows(), service.files(), clean) == (rows, files, True)
    assert service.states() == {"9.1": "read", "1.1": "erased", "1.2": "erased"}
    left = bytes_of(service.spool.folder)
    assert NAME.encode() in left  # the other patient's
    for word in (b"P-1234567", b"acc-1.1", b"acc-1.2", b"pixels of 1.", b"of 1.1"):
        assert word not in left, word
    with service.database.read() as session:
        (row,) = session.scalars(select(Audit))
    assert (row.person, row.action, row.study_uid, row.detail) == ("[root]", "patient erased", "", str(held))


def test_work_on_an_erased_study_is_undone(service: Service) -> None:
    service.study("1.1", state="waiting", job="waiting")
    claimed = claim(service.database, ["score"], "w")
    assert claimed is not None
    erase_patient(service.database, service.spool, "4711", "[root]")
    with pytest.raises(LostClaim), service.database.write() as session:
        finish(session, claimed)


def test_an_unknown_patient_is_told_without_the_id(service: Service) -> None:
    for patient in ("47110", "", " "):
        with pytest.raises(UserError, match="no study of this patient") as refused:
            erase_patient(service.database, service.spool, patient, "[root]")
        assert "47110" not in str(refused.value)


def test_a_patient_among_whose_study_anothers_images_lie_is_found(service: Service) -> None:
    service.study("1.1", patient="first")
    service.study("1.2", patient="first")
    with service.database.write() as session:
        row = session.scalars(select(Instance).join(Study).where(Study.study_uid == "1.1")).first()
        assert row is not None
        row.facts = {**row.facts, "other_patient": "P-7654321"}
    erase_patient(service.database, service.spool, " P-7654321", "[root]")
    assert service.states() == {"1.1": "erased", "1.2": "read"}
    assert b"P-7654321" not in bytes_of(service.spool.folder)


@pytest.mark.parametrize("use", ["image", "no image"])
def test_what_is_sent_again_is_taken_in_as_new(service: Service, use: str) -> None:
    study = service.study("1.1")
    erase_patient(service.database, service.spool, "4711", "[root]")
    said = {"patient_id": "4711", "patient_name": NAME, "modality": "DX"}
    told = Told("1.2.840.10008.5.1.4.1.1.1.1", "1.1.1.0", "1.1", "1.1.1", use=use, study=said, facts={})
    with service.database.write() as session:
        (found,) = record(
            session, [Arrival(told, Kept("instances/aa/b.dcm", 1, "d" * 64), "M")], lambda _: True
        )
    assert found.outcome == "new"
    with service.database.read() as session:
        row = session.get_one(Study, study)
    assert (row.state, row.patient_id, row.instances) == ("receiving", "4711", 1)


def test_what_is_left_of_an_erased_study_goes_with_the_old_ones(service: Service) -> None:
    service.study("1.1", days=400)
    erase_patient(service.database, service.spool, "4711", "[root]")
    upkeep = service.settings.upkeep.model_copy(update={"readings_days": 365.0})
    assert Retention(service.database, service.spool, upkeep).go_on() == (0, 1)
    assert service.states() == {}
