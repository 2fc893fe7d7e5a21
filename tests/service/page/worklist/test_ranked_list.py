"""The worklist: ranked, filtered, searched and paged by the database, on a page that needs no script."""

from __future__ import annotations

import re
from datetime import timedelta
from urllib.parse import parse_qsl

import pytest
from made_page import Page
from made_studies import fill
from sqlalchemy import select, text

from secondread.service.page.worklist.asked import ORDERS, Asked, Place, opened, sealed
from secondread.service.page.worklist.counts import count
from secondread.service.page.worklist.find import PAGE, find, modalities
from secondread.service.store.alarms import open_alarm
from secondread.service.store.jobs import claim, enqueue, now, set_aside
from secondread.service.store.tables import Alarm, Audit, Study, Verdict

STUDIES = 400
SECRET = "of a session"


@pytest.fixture(scope="module")
def filled(page: Page) -> Page:
    fill(page.database, STUDIES, now())
    return page


def walk(session, asked: Asked, at) -> list[int]:
    """All pages of what is asked for, forwards."""
    ids: list[int] = []
    found = find(session, asked, SECRET, at)
    while found.lines:
        assert [line.number for line in found.lines] == list(
            range(len(ids) + 1, len(ids) + len(found.lines) + 1)
        )
        ids += [line.study.id for line in found.lines]
        if not found.after:
            break
        found = find(session, Asked(**{**vars(asked), "after": found.after}), SECRET, at)
    return ids


@pytest.mark.parametrize("since", [30, 0])
@pytest.mark.parametrize("order", ORDERS)
def test_pages_show_each_study_once_and_in_order(filled: Page, order: str, since: int) -> None:
    at = now()
    with filled.database.read() as session:
        ids = walk(session, Asked(order=order, since=since), at)
        assert walk(session, Asked(order=order, since=since, reverse=True), at) == ids[::-1]
        studies = {study.id: study for study in session.scalars(select(Study).where(Study.state == "read"))}
    assert sorted(ids) == sorted(studies)
    keys = {
        "rank": lambda s: (s.p_value, -s.score),
        "received": lambda s: -s.last_received.timestamp(),
        "date": lambda s: -int(s.study_date),
        "name": lambda s: "".join(c.lower() if c.isascii() else c for c in s.patient_name),
        "patient": lambda s: s.patient_id.lower(),
        "accession": lambda s: s.accession.lower(),
    }
    values = [keys[order](studies[one]) for one in ids]
    assert values == sorted(values)


def test_the_page_before_is_the_one_that_was_there(filled: Page) -> None:
    at = now()
    with filled.database.read() as session:
        first = find(session, Asked(), SECRET, at)
        second = find(session, Asked(after=first.after), SECRET, at)
        back = find(session, Asked(before=second.before), SECRET, at)
    assert not first.before
    assert len(first.lines) == PAGE
    assert [line.study.id for line in back.lines] == [line.study.id for line in first.lines]
    assert [line.number for line in back.lines] == [line.number for line in first.lines]
    assert not back.before
    assert back.after == "" or opened(back.after, SECRET) == opened(first.after, SECRET)


@pytest.mark.parametrize("since", [7, 0])
def test_filters_narrow_down(filled: Page, since: int) -> None:
    at = now()
    with filled.database.read() as session:
        rows = session.scalars(select(Study)).all()
        for asked, wanted in (
            (Asked(flagged="yes"), lambda s: s.state == "read" and s.flagged),
            (Asked(flagged="no"), lambda s: s.state == "read" and not s.flagged),
            (Asked(modality="CT"), lambda s: s.state == "read" and s.modality == "CT"),
            (Asked(view="waiting"), lambda s: s.state in ("receiving", "waiting", "reading")),
            (Asked(view="trouble"), lambda s: s.state in ("not read", "set aside")),
            (Asked(bundle="other"), lambda s: False),
            (Asked(text="übel"), lambda s: s.state == "read" and s.patient_name.startswith("Übel")),
            (Asked(text="AHORN, ada"), lambda s: s.state == "read" and s.patient_name == "Ahorn^Ada"),
            (Asked(text="a0000012"), lambda s: s.state == "read" and s.accession == "A0000012"),
            (Asked(text="p0001"), lambda s: s.state == "read" and s.patient_id.startswith("P0001")),
            (Asked(text="%"), lambda s: False),
        ):
            found = walk(session, Asked(**{**vars(asked), "since": since}), at)
            assert sorted(found) == sorted(row.id for row in rows if wanted(row)), asked
        assert find(session, Asked(since=1), SECRET, at + timedelta(days=3)).lines == ()
        assert modalities(session) == ["CR", "CT", "DX", "MG"]


def test_orders_of_long_times_walk_along_an_index(filled: Page) -> None:
    """No sort of all studies: SQLite says how it would go about it."""
    with filled.database.read() as session:
        for order in ORDERS:
            spoken: list[str] = []
            connection = session.connection()
            real = connection.connection.dbapi_connection
            real.set_trace_callback(spoken.append)
            find(session, Asked(order=order, since=0), SECRET, now())
            real.set_trace_callback(None)
            listing = next(one for one in spoken if "FROM study" in one and "LIMIT" in one)
            plan = " ".join(
                row[-1] for row in session.execute(text(f"EXPLAIN QUERY PLAN {listing}".replace(":", r"\:")))
            )
            assert "USING INDEX study_" in plan, (order, plan)
            assert "TEMP B-TREE" not in plan, (order, plan)


def test_the_newest_verdict_of_each_person_counts(filled: Page) -> None:
    at = now()
    with filled.database.write() as session:
        first = find(session, Asked(flagged="yes"), SECRET, at).lines[0].study.id
        for person, agrees in (("ann", True), ("bob", True), ("ann", False)):
            session.add(Verdict(study_id=first, person=person, agrees=agrees, abnormal=agrees, at=at))
    with filled.database.read() as session:
        line = find(session, Asked(flagged="yes"), SECRET, at).lines[0]
        assert [(said.person, said.agrees) for said in line.verdicts] == [("ann", False), ("bob", True)]
        assert (
            walk(session, Asked(verdict="agree"), at)
            == walk(session, Asked(verdict="disagree"), at)
            == [first]
        )
        assert first not in walk(session, Asked(verdict="none"), at)
        counts = count(session, 7, at)
        assert counts.unseen == counts.flagged - 1
        assert counts.waiting == 4


def test_a_search_and_a_place_are_sealed_in_addresses(filled: Page) -> None:
    asked = Asked(text="Ahorn", flagged="yes")
    address = asked.address(SECRET)
    assert "Ahorn" not in address
    query = dict(parse_qsl(address.partition("?")[2]))
    assert Asked.of(query, SECRET) == asked
    assert Asked.of(query, "of another").text == ""
    assert opened(sealed("x", SECRET)[:-4], SECRET) == opened("é" * 9, SECRET) == ""
    assert Place.of(sealed('["x", 1]', SECRET), SECRET, 1) is None
    assert Place.of("nothing", SECRET, 1) is None


def test_the_page_needs_no_script_and_names_nobody_in_addresses(filled: Page) -> None:
    browser = filled.logged_in("viewer")
    assert browser.client.get("/").headers["location"] == "/studies"
    shown = browser.client.get("/studies").text
    assert len(re.findall("<tr data-study", shown)) == PAGE
    assert "/again" not in shown
    form = {"csrf": browser.csrf, "view": "read", "text": "Ahorn", "flagged": "yes", "since": "7"}
    answer = browser.client.post("/studies/search", data=form)
    assert answer.status_code == 303
    assert "Ahorn" not in answer.headers["location"]
    listed = browser.client.get(answer.headers["location"]).text
    rows = re.findall(r'class="who"><a [^>]+>([^<]+)<', listed)
    assert rows
    assert all(name.startswith("Ahorn") for name in rows)
    assert 'value="Ahorn"' in listed
    following = re.search(r'rel="next" href="([^"]+)"', browser.client.get("/studies").text)
    assert following
    assert "Studies 51 to 100" in browser.client.get(following[1].replace("&amp;", "&")).text
    with filled.database.read() as session:
        last = session.scalars(select(Audit).order_by(Audit.id.desc())).first()
        assert last is not None
        assert (last.person, last.action) == ("viewer", "searched")


@pytest.mark.parametrize(
    "bad", ["view=x&since=-1&order=1&after=%00", "since=999999999999999999999", "before=zzz", "q=%C3%A9"]
)
def test_an_address_that_says_nonsense_shows_the_list(filled: Page, bad: str) -> None:
    answer = filled.logged_in("viewer").client.get(f"/studies?{bad}")
    assert answer.status_code in (200, 303)


def test_an_administrator_lets_a_study_that_was_set_aside_be_tried_again(filled: Page) -> None:
    with filled.database.write() as session:
        study = session.scalars(select(Study).where(Study.state == "set aside").limit(1)).one()
        enqueue(session, "score", f"{study.id}:{study.revision}", study_id=study.id)
    claimed = claim(filled.database, ["score"], "w")
    assert claimed is not None
    with filled.database.write() as session:
        set_aside(session, claimed, "broken")
    reader, administrator = filled.logged_in("reader"), filled.logged_in("administrator")
    address = f"/studies/{study.id}/again"
    assert reader.client.post(address, data={"csrf": reader.csrf}).status_code == 403
    assert address in administrator.client.get("/studies?view=trouble").text
    assert administrator.client.post(address, data={"csrf": administrator.csrf}).status_code == 303
    again = claim(filled.database, ["score"], "w")
    assert again is not None
    assert (again.study_id, again.tries) == (study.id, 1)
    with filled.database.read() as session:
        kept = session.get(Study, study.id)
        assert kept is not None
        assert (kept.state, kept.reason) == ("waiting", "")
    assert administrator.client.post(address, data={"csrf": administrator.csrf}).status_code == 404


def test_an_administrator_closes_an_alarm_that_was_looked_into(filled: Page) -> None:
    with filled.database.write() as session:
        open_alarm(session, "disk", "spool", "The disk is nearly full.")
        number = session.scalars(select(Alarm.id).where(Alarm.about == "spool")).one()
    address = f"/alarms/{number}/close"
    reader, administrator = filled.logged_in("reader"), filled.logged_in("administrator")
    assert "The disk is nearly full." in reader.client.get("/studies").text
    assert address not in reader.client.get("/studies").text
    assert reader.client.post(address, data={"csrf": reader.csrf}).status_code == 403
    assert address in administrator.client.get("/studies").text
    assert administrator.client.post(address, data={"csrf": administrator.csrf}).status_code == 303
    assert "The disk is nearly full." not in administrator.client.get("/studies").text
    with filled.database.read() as session:
        row = session.scalars(select(Audit).where(Audit.action == "alarm closed")).one()
        assert row.detail == "disk: spool"
        assert session.get_one(Alarm, number).seen_by == row.person
    assert administrator.client.post(address, data={"csrf": administrator.csrf}).status_code == 303, "again"


def test_the_wall_shows_no_names_until_it_is_asked(filled: Page) -> None:
    browser = filled.logged_in("viewer")
    with filled.database.read() as session:
        name = find(session, Asked(since=1), SECRET, now()).lines[0].study.patient_name.split("^")[0]
    assert name not in browser.client.get("/wall").text
    assert name in browser.client.get("/wall?names=1").text


def test_a_person_chooses_a_language(filled: Page) -> None:
    browser = filled.logged_in("viewer")
    assert '<html lang="en">' in browser.client.get("/studies").text
    assert browser.client.get("/studies", headers={"Accept-Language": "de"}).text.count("Arbeitsliste") > 1
    answer = browser.client.post("/language", data={"csrf": browser.csrf, "language": "de", "back": "/wall"})
    assert answer.headers["location"] == "/wall"
    assert '<html lang="de">' in browser.client.get("/wall").text
    assert browser.client.post("/language", data={"csrf": browser.csrf, "language": "fr"}).status_code == 422
    browser.client.post("/language", data={"csrf": browser.csrf, "language": "en"})
