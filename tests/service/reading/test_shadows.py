"""What a bundle on trial would have made different."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from secondread.service.reading.shadows import ShadowComparison, compare_shadows, rank_correlation
from secondread.service.store.database import Database
from secondread.service.store.tables import Reading, Study, Table

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
SHOWN = [(1.0, 0.9, False), (2.0, 0.5, False), (3.0, 0.01, True), (4.0, 0.01, True), (5.0, 0.2, False)]
SHADOW = [(10.0, 0.8, False), (30.0, 0.02, True), (20.0, 0.3, False), (40.0, 0.01, True), None]


@pytest.fixture
def database(tmp_path: Path) -> Database:
    found = Database(f"sqlite:///{tmp_path / 'service.sqlite'}")
    Table.metadata.create_all(found.engine)
    with found.write() as session:
        for number, pair in enumerate(zip(SHOWN, SHADOW, strict=True), start=1):
            at = BEGAN + timedelta(hours=number)
            session.add(
                Study(id=number, study_uid=f"1.{number}", state="read", first_received=at, last_received=at)
            )
            session.flush()
            for shadow, said in enumerate(pair):
                if said is None:
                    continue
                score, p_value, flagged = said
                session.add(
                    Reading(
                        study_id=number, revision=1, bundle=("films", "trial")[shadow],
                        bundle_digest="ab"[shadow],
                        shadow=bool(shadow), score=score, p_value=p_value, flagged=flagged, at=at,
                        facts={"beside": "films" if shadow else ""},
                    )
                )  # fmt: skip
    return found


def test_scores_and_flags_are_compared_on_the_studies_that_both_read(database: Database) -> None:
    with database.read() as session:
        (found,) = compare_shadows(session)
    assert found == ShadowComparison(
        bundle="films", shadow="trial", digests=("a", "b"), studies=4, unread=1, correlation=0.8,
        judged=4, both=1, shown_alone=1, shadow_alone=1, differ=(2, 3),
    )  # fmt: skip


def test_only_the_time_that_is_asked_for_counts(database: Database) -> None:
    with database.read() as session:
        (found,) = compare_shadows(session, since=BEGAN + timedelta(hours=3))
        assert (found.studies, found.differ, found.correlation) == (2, (3,), None)
        assert compare_shadows(session, until=BEGAN) == []


def test_ties_share_their_rank() -> None:
    assert rank_correlation([1, 1, 2, 3], [1, 1, 2, 3]) == 1.0
    assert rank_correlation([1, 2, 3], [3, 2, 1]) == -1.0
    assert rank_correlation([1, 2, 3], [1, 1, 1]) is None
