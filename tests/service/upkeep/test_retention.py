"""What is old goes: pixels of what was read and delivered, then whole studies, each with its audit row."""

from __future__ import annotations

from sqlalchemy import select
from upkeep_service import Service

from secondread.service.settings.upkeep import UpkeepSettings
from secondread.service.store import audit
from secondread.service.store.tables import Audit, Instance, Study
from secondread.service.upkeep.keeper import duties
from secondread.service.upkeep.retention import Retention


def go_on(service: Service, **days: float | None) -> tuple[int, int]:
    upkeep = UpkeepSettings(**{"images_days": None, **days})
    return Retention(service.database, service.spool, upkeep).go_on()


def said(service: Service) -> list[tuple[str, str, str]]:
    with service.database.read() as session:
        assert audit.verify(session).whole
        return [(row.person, row.action, row.study_uid) for row in session.scalars(select(Audit))]


def test_pixels_go_of_studies_that_were_read_and_delivered_and_of_no_others(service: Service) -> None:
    service.study("1.1", days=40)
    service.study("1.2", days=20)
    service.study("1.3", days=40, state="not read")
    kept = service.files()
    assert go_on(service, images_days=30.0) == (1, 0)
    gone = {name for name in kept if kept.count(name) > service.files().count(name)}
    assert "picture.dcm" in gone
    assert len(kept) - len(service.files()) == 3
    with service.database.read() as session:
        sizes = session.execute(select(Study.study_uid, Instance.size).join(Instance)).all()
        paths = session.scalars(select(Instance.path).join(Study).where(Study.study_uid == "1.1")).all()
    assert {uid for uid, size in sizes if size == 0} == {"1.1"}
    assert not any(service.spool.has(path) for path in paths)
    assert said(service) == [("[upkeep]", "pixels removed", "1.1")]
    assert go_on(service, images_days=30.0) == (0, 0)


def test_pixels_stay_while_a_result_is_on_its_way_or_was_set_aside(service: Service) -> None:
    for job in ("waiting", "running", "set aside"):
        with service.database.write() as session:
            for study in session.scalars(select(Study)):
                session.delete(study)
        service.study(f"1.{len(job)}", days=40, job=job)
        assert go_on(service, images_days=30.0) == (0, 0)


def test_studies_go_with_all_that_belongs_to_them(service: Service) -> None:
    service.study("1.2", days=300)
    service.study("1.3", days=400, state="waiting", job="waiting")
    rows, files = service.rows(), service.files()
    service.study("1.1", days=400)
    service.study("1.4", days=400, state="set aside", job="set aside")
    assert go_on(service, readings_days=365.0) == (0, 2)
    assert service.states() == {"1.2": "read", "1.3": "waiting"}
    assert (service.rows(), service.files()) == (rows, files)
    assert said(service) == [("[upkeep]", "study removed", "1.1"), ("[upkeep]", "study removed", "1.4")]


def test_a_turn_ends_when_its_time_is_over_and_the_next_goes_on(service: Service) -> None:
    for number in range(3):
        service.study(f"1.{number}", days=400)
    ticks = iter(range(10_000))
    slow = Retention(
        service.database, service.spool, UpkeepSettings(images_days=1.0), lambda: float(next(ticks))
    )
    turns = [slow.go_on()[0] for _ in range(6)]
    assert sum(turns) == 3
    assert max(turns) == 1


def test_the_keeper_has_the_duties_that_the_configuration_asks_for(service: Service) -> None:
    def asked(**upkeep: object) -> list[str]:
        settings = service.settings.model_copy(update={"upkeep": UpkeepSettings(**upkeep)})
        return [duty.name for duty in duties(service.database, settings)]

    assert asked(backups="/b") == ["remove what is old", "make the nightly backup"]
    assert asked(images_days=None) == []
