"""Studies out of the database: a page of the worklist by its indexes, from a place on and not by counting.

Every order is one way of an index of the table `study` (`store.tables`), so that a page takes as long among a
million studies as among ten. The names and ids that a search is compared with begin with it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, exists, func, literal, literal_column, or_, select, tuple_
from sqlalchemy.orm import Session

from secondread.service.page.worklist.asked import STATES, Asked, Place
from secondread.service.store.tables import Study, Utc, Verdict

PAGE = 50
LAST = "\U0010ffff"
"""The character that sorts behind every other."""


@dataclass(frozen=True)
class Said:
    """The newest verdict of a person."""

    person: str
    agrees: bool
    abnormal: bool
    comment: str
    at: datetime


@dataclass(frozen=True)
class Line:
    """A study in the list (`COLUMNS`), with its place, from 1, in what was asked for."""

    number: int
    study: Any
    verdicts: tuple[Said, ...] = ()


@dataclass(frozen=True)
class Found:
    """A page of the worklist. `before` and `after` are places where there is more, else empty."""

    lines: tuple[Line, ...] = field(default=())
    before: str = ""
    after: str = ""


COLUMNS = (
    Study.id, Study.state, Study.patient_id, Study.patient_name, Study.accession, Study.study_date,
    Study.description, Study.modality, Study.first_received, Study.last_received, Study.bundle, Study.score,
    Study.p_value, Study.flagged, Study.read_at, Study.reason, Study.instances,
)  # fmt: skip


def order_of(name: str, *, walks: bool) -> tuple[ColumnElement[Any], ...]:
    """What an order sorts by, before the id.

    walks  along the index of the order, whose letters these are; else written so that no index fits, and the
           few studies of some days are found by their time and sorted
    """
    if name == "received":
        return (Study.last_received.expression,)
    columns: dict[str, tuple[tuple[str, str], ...]] = {
        "rank": (("coalesce(p_value, 2.0)", " + 0.0"), ("(-coalesce(score, -1e300))", " + 0.0")),
        "date": (("study_date", " || ''"),),
        "name": (("lower(patient_name)", " || ''"),),
        "patient": (("lower(patient_id)", " || ''"),),
        "accession": (("lower(accession)", " || ''"),),
    }
    return tuple(literal_column(letters if walks else letters + but) for letters, but in columns[name])


NEWEST_FIRST = frozenset({"received", "date"})
MOST_SORTED_DAYS = 30
"""Studies of so many days are sorted; of more, an index is walked along."""


def is_narrow(asked: Asked) -> bool:
    return 0 < asked.since <= MOST_SORTED_DAYS


def unhelpful(session: Session, column: ColumnElement[Any]) -> ColumnElement[Any]:
    """A column of which SQLite should not think that it narrows down what is asked for: nearly all studies
    are read. PostgreSQL knows, by its statistics."""
    if session.get_bind().dialect.name == "sqlite":
        return literal_column(f"+{column.name}", column.type)
    return column


def find(session: Session, asked: Asked, secret: str, at: datetime, *, size: int = PAGE) -> Found:
    """The page of the worklist that is asked for, at the time `at`."""
    by = order_of(asked.sorted_by, walks=not (is_narrow(asked) or asked.text))
    down = (asked.sorted_by in NEWEST_FIRST and asked.view != "waiting") != asked.reverse
    place = Place.of(asked.after or asked.before, secret, len(by))
    backwards = place is not None and not asked.after
    wanted = select(*COLUMNS, *(column.label(f"key{i}") for i, column in enumerate(by)))
    wanted = wanted.where(*conditions(session, asked, at))
    key = tuple_(*by, Study.id)
    falls = down != backwards
    if place is not None:
        there = tuple_(
            *(_value(column, value) for column, value in zip(by, place.values, strict=True)), place.id
        )
        wanted = wanted.where(key < there if falls else key > there)
    turned = [column.desc() if falls else column.asc() for column in (*by, Study.id)]
    rows: list[Any] = list(session.execute(wanted.order_by(*turned).limit(size + 1)))
    more, rows = len(rows) > size, rows[:size]
    if backwards:
        rows.reverse()
    if not rows:
        return Found()
    if place is None:
        first = 1
    else:
        first = max(1, place.number - len(rows)) if backwards else place.number + 1
    numbers = range(first, first + len(rows))
    said = verdicts_of(session, [row.id for row in rows])
    lines = tuple(Line(n, row, said.get(row.id, ())) for n, row in zip(numbers, rows, strict=True))
    is_first = place is None or (backwards and not more)
    is_last = not (more or backwards)
    return Found(
        lines,
        "" if is_first else _place(rows[0], len(by), numbers[0]).text(secret),
        "" if is_last else _place(rows[-1], len(by), numbers[-1]).text(secret),
    )


def _value(column: ColumnElement[Any], value: float | str) -> ColumnElement[Any]:
    if isinstance(column.type, Utc):
        return literal(datetime.fromisoformat(str(value)), column.type)
    return literal(value)


def _place(row: Any, width: int, number: int) -> Place:
    values = (getattr(row, f"key{i}") for i in range(width))
    return Place(tuple(v.isoformat() if isinstance(v, datetime) else v for v in values), row.id, number)


def conditions(session: Session, asked: Asked, at: datetime) -> list[ColumnElement[bool]]:
    many = asked.view in ("read", "all") or (asked.view == "trouble" and is_narrow(asked))
    state = unhelpful(session, Study.state.expression) if many else Study.state
    found: list[ColumnElement[bool]] = [state.in_(STATES[asked.view])]
    if asked.since:
        found.append(Study.last_received >= at - timedelta(days=asked.since))
    if asked.flagged:
        found.append(Study.flagged.is_(asked.flagged == "yes"))
    if asked.modality:
        found.append(Study.modality == asked.modality)
    if asked.bundle:
        found.append(Study.bundle == asked.bundle)
    if asked.verdict == "none":
        found.append(~exists().where(Verdict.study_id == Study.id))
    elif asked.verdict:
        newest = select(func.max(Verdict.id)).group_by(Verdict.study_id, Verdict.person)
        says = and_(Verdict.id.in_(newest), Verdict.agrees.is_(asked.verdict == "agree"))
        found.append(Study.id.in_(select(Verdict.study_id).where(says)))
    if text := asked.text.strip():
        found.append(matches(session, text, walks=not is_narrow(asked)))
    return found


def matches(session: Session, text: str, *, walks: bool = True) -> ColumnElement[bool]:
    """Studies whose patient's name or id, or whose accession number, begins with a text, whatever its case;
    or whose UID it is. A name may be written `Family, Given`. `walks` as in `order_of`."""
    asked = text.replace(", ", "^").replace(",", "^")
    spoken: list[ColumnElement[bool]] = [Study.study_uid == text]
    for column, wanted in (("patient_name", asked), ("patient_id", text), ("accession", text)):
        lowered: ColumnElement[str] = literal_column(f"lower({column})" + ("" if walks else " || ''"))
        if session.get_bind().dialect.name == "postgresql":
            spoken.append(lowered.startswith(wanted.lower(), autoescape=True))
            continue
        # SQLite lowers the letters of ASCII alone, so that Ü may stand in a name as either
        for written in {wanted, wanted.upper(), wanted.lower(), wanted.title()}:
            start = "".join(letter.lower() if letter.isascii() else letter for letter in written)
            spoken.append(and_(lowered >= start, lowered < start + LAST))
    return or_(*spoken)


def verdicts_of(session: Session, studies: Sequence[int]) -> dict[int, tuple[Said, ...]]:
    """The newest verdict of each person on each of the studies, the newest first."""
    found: dict[int, dict[str, Said]] = defaultdict(dict)
    for row in session.scalars(
        select(Verdict).where(Verdict.study_id.in_(studies)).order_by(Verdict.id.desc())
    ):
        said = Said(row.person, row.agrees, row.abnormal, row.comment, row.at)
        found[row.study_id].setdefault(row.person, said)
    return {study: tuple(said.values()) for study, said in found.items()}


def modalities(session: Session, most: int = 30) -> list[str]:
    """Those that there are, each by one step along the index."""
    found: list[str] = []
    last = ""
    while len(found) < most:
        following = session.scalar(select(func.min(Study.modality)).where(Study.modality > last))
        if following is None:
            break
        found.append(following)
        last = following
    return found
