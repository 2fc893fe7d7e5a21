"""What readers said of studies: with the flags, and with one another."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from secondread.metrics.shares import clopper_pearson
from secondread.service.store.tables import Study, Verdict


@dataclass(frozen=True)
class Agreement:
    """Verdicts of a month, the newest of each person on each study.

    flagged, unflagged   (abnormal, normal) by a reader, of flagged studies and of others; where readers
                         differ the study counts as abnormal
    pairs, alike         studies with at least two readers, and how many of these have one opinion
    """

    verdicts: int
    agreed: int
    people: int
    flagged: tuple[int, int]
    unflagged: tuple[int, int]
    pairs: int
    alike: int

    @property
    def agreed_interval(self) -> tuple[float, float] | None:
        return clopper_pearson(self.agreed, self.verdicts) if self.verdicts else None

    @property
    def alike_interval(self) -> tuple[float, float] | None:
        return clopper_pearson(self.alike, self.pairs) if self.pairs else None

    @property
    def normal(self) -> int:
        """Studies that readers call normal."""
        return self.flagged[1] + self.unflagged[1]

    @property
    def false_alarms(self) -> tuple[float, tuple[float, float]] | None:
        """The share of flagged ones among studies that readers call normal. Where readers look at flagged
        studies more often it is too high."""
        if not self.normal:
            return None
        return self.flagged[1] / self.normal, clopper_pearson(self.flagged[1], self.normal)


def agreement(session: Session, begin: datetime, end: datetime) -> Agreement:
    rows = session.execute(
        select(Verdict.study_id, Verdict.person, Verdict.agrees, Verdict.abnormal, Study.flagged)
        .join(Study, Study.id == Verdict.study_id)
        .where(Verdict.at >= begin, Verdict.at < end)
        .order_by(Verdict.id)
    )
    newest = {(row.study_id, row.person): row for row in rows}
    studies: dict[int, list[bool]] = {}
    flags: dict[int, bool] = {}
    for (study, _), row in newest.items():
        studies.setdefault(study, []).append(row.abnormal)
        flags[study] = row.flagged is True
    counts = {(flag, bad): 0 for flag in (True, False) for bad in (True, False)}
    for study, said in studies.items():
        counts[flags[study], any(said)] += 1
    several = [said for said in studies.values() if len(said) > 1]
    return Agreement(
        len(newest),
        sum(row.agrees for row in newest.values()),
        len({person for _, person in newest}),
        (counts[True, True], counts[True, False]),
        (counts[False, True], counts[False, False]),
        len(several),
        sum(len(set(said)) == 1 for said in several),
    )
