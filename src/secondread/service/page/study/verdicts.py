"""What a person says of a study: the newest of each person counts, and becomes a label."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from secondread.service.store.jobs import now
from secondread.service.store.tables import Reading, Study, Verdict

LONGEST = 2000


def judge(
    session: Session,
    study: Study,
    person: str,
    *,
    agrees: bool,
    comment: str = "",
    reading_id: int | None = None,
) -> Verdict:
    """Agree with what a reading says, or not.

    reading_id  the reading that the person saw; None = the newest that is shown

    Who agrees with a flag says abnormal, and with none says normal. Of a study that was not judged there is
    nothing to agree with: agreeing means abnormal. In a transaction of `Database.write`.
    """
    shown = select(Reading).where(Reading.study_id == study.id, Reading.shadow.is_(False))
    if reading_id is not None:
        shown = shown.where(Reading.id == reading_id)
    reading = session.scalars(shown.order_by(Reading.id.desc()).limit(1)).first()
    flagged = study.flagged if reading is None else reading.flagged
    verdict = Verdict(
        study_id=study.id,
        reading_id=None if reading is None else reading.id,
        person=person,
        agrees=agrees,
        abnormal=agrees if flagged is None else agrees == flagged,
        comment=comment.strip()[:LONGEST],
        at=now(),
    )
    session.add(verdict)
    session.flush()
    return verdict
