"""A bundle on trial beside the one that is shown: what would have been different."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session, defer

from secondread.metrics.ranks import spearman
from secondread.service.store.tables import Reading

Pair = tuple[Reading, Reading]
"""A study's reading by the bundle that is shown, and by the shadow."""


@dataclass(frozen=True)
class ShadowComparison:
    """A bundle and one of its shadows on the same revisions of studies.

    bundle, shadow  their names
    digests         of both
    studies         that both scored; `unread` are those that the shadow gave no score
    correlation     Spearman's of their scores; None for fewer than three studies, or where one does not vary
    flagged         by both, by the shown alone, by the shadow alone, by neither, among `judged`
    differ          studies (their row's id) whose flags differ, the largest difference of p-values first
    """

    bundle: str
    shadow: str
    digests: tuple[str, str]
    studies: int
    unread: int
    correlation: float | None
    judged: int
    both: int
    shown_alone: int
    shadow_alone: int
    differ: tuple[int, ...]


def compare_shadows(
    session: Session, *, since: datetime | None = None, until: datetime | None = None
) -> list[ShadowComparison]:
    """Each bundle against each of its shadows, on the newest revision of each study that both have read, read
    from `since` to before `until`."""
    chosen = (
        select(Reading)
        .options(defer(Reading.images))
        .order_by(Reading.study_id, Reading.revision, Reading.id)
    )
    if since is not None:
        chosen = chosen.where(Reading.at >= since)
    if until is not None:
        chosen = chosen.where(Reading.at < until)
    shown: dict[tuple[str, int, int], Reading] = {}
    shadows: dict[tuple[str, str, str], dict[int, Reading]] = {}
    for reading in session.scalars(chosen):
        if reading.shadow:
            key = reading.facts.get("beside", ""), reading.bundle, reading.bundle_digest
            shadows.setdefault(key, {})[reading.study_id] = reading
        else:
            shown[reading.bundle, reading.study_id, reading.revision] = reading
    found = []
    for (bundle, shadow, _), readings in sorted(shadows.items()):
        pairs = [
            (other, one)
            for one in readings.values()
            if (other := shown.get((bundle, one.study_id, one.revision))) is not None
        ]
        if pairs:
            read = {(one.study_id, one.revision) for one in readings.values()}
            first = min(one.at for one in readings.values())
            alone = sum(
                name == bundle and one.at >= first and (study, revision) not in read
                for (name, study, revision), one in shown.items()
            )
            found.append(_comparison(bundle, shadow, pairs, alone))
    return found


def _comparison(bundle: str, shadow: str, pairs: Sequence[Pair], alone: int) -> ShadowComparison:
    newest = max(pairs, key=lambda pair: pair[0].id)
    scored = [(a, b) for a, b in pairs if a.score is not None and b.score is not None]
    judged = [(a, b) for a, b in pairs if a.flagged is not None and b.flagged is not None]
    differ = [(a, b) for a, b in judged if a.flagged is not b.flagged]
    differ.sort(key=lambda pair: -abs((pair[0].p_value or 0.0) - (pair[1].p_value or 0.0)))
    return ShadowComparison(
        bundle=bundle,
        shadow=shadow,
        digests=(newest[0].bundle_digest, newest[1].bundle_digest),
        studies=len(scored),
        unread=alone + len(pairs) - len(scored),
        correlation=rank_correlation(
            [a.score or 0.0 for a, _ in scored], [b.score or 0.0 for _, b in scored]
        ),
        judged=len(judged),
        both=sum(bool(a.flagged and b.flagged) for a, b in judged),
        shown_alone=sum(bool(a.flagged and not b.flagged) for a, b in judged),
        shadow_alone=sum(bool(b.flagged and not a.flagged) for a, b in judged),
        differ=tuple(a.study_id for a, _ in differ),
    )


def rank_correlation(first: Iterable[float], second: Iterable[float]) -> float | None:
    """Spearman's; None for fewer than three values, or where one side does not vary.

    >>> rank_correlation([1, 2, 3], [10, 30, 20])
    0.5
    """
    try:
        return round(spearman(list(first), list(second)).rho, 12)
    except ValueError:
        return None
