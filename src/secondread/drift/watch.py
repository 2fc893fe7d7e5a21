"""One stream of studies watched: its scores, flags, acquisition facts and features, study by study."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Self

from secondread.drift.cusum import Cusum, limit_for
from secondread.drift.draws import draw
from secondread.drift.evidence import KINDS, Evidence, bets, normal_score
from secondread.drift.flags import STEPS, flag_bets
from secondread.drift.plan import Plan
from secondread.drift.ranks import MISSING, OnlineRanks, OnlineWords

FORMAT = 1
TRACED = 2000
"""The newest points of a chart that are kept."""
CHANGED = {"higher": "seldom", "lower": "usual", "wider": "mixed otherwise", "narrower": "mixed otherwise"}
"""What a change of the ranks of words means."""


@dataclass(frozen=True)
class Study:
    """What is watched of one study.

    key     from which draws follow: the same again for the same study
    share   of a year, for which it stands; None = as the plan says
    facts   numbers and words; what is missing is missing
    """

    key: str
    score: float
    p_value: float | None = None
    facts: Mapping[str, float | str] = field(default_factory=dict)
    features: Mapping[str, float] = field(default_factory=dict)
    share: float | None = None


@dataclass(frozen=True)
class Change:
    """An alarm: what changed, which way, at which study of the stream (from 1), and since how many."""

    watcher: str
    kind: str
    study: int
    since: int


@dataclass(frozen=True)
class Point:
    """Of the chart, after a study: its u, the evidence of the scores in thresholds, and both CUSUMs in limits
    (1 = alarm)."""

    study: int
    key: str
    u: float
    evidence: float
    up: float
    down: float


class Watch:
    """A stream. `take` gives the alarms that a study raises; see `evidence` for what they promise.

    >>> from secondread.drift.plan import Plan
    >>> watch = Watch(Plan(1.0, 1000, reference=range(200)))
    >>> raised = [change for n in range(60) for change in watch.take(Study(str(n), 150.0 + n))]
    >>> raised[0].kind
    'higher'
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.studies = 0
        self.ranks: dict[str, OnlineRanks | OnlineWords] = {"score": OnlineRanks(plan.reference)}
        self.evidence: dict[str, Evidence] = {}
        self.cusum = Cusum()
        self.trace: deque[Point] = deque(maxlen=TRACED)

    @cached_property
    def thresholds(self) -> dict[str, float]:
        return {name: self.plan.threshold(name) for name in self.plan.shares}

    @cached_property
    def limit(self) -> float:
        """Of the CUSUM."""
        return limit_for(self.plan.per_year * self.plan.shares["cusum"], self.plan.studies_per_year)

    def take(self, study: Study) -> list[Change]:
        """ValueError where its score is not finite."""
        if not math.isfinite(study.score):
            raise ValueError("the score of a study is not finite")
        share = 1 / self.plan.studies_per_year if study.share is None else study.share
        self.studies += 1
        u = self._u("score", study.score, study.key)
        limit = self.limit
        summed = self.cusum.take(normal_score(u), limit)
        changes = [Change("cusum", *(summed[0], self.studies, summed[1]))] if summed else []
        changes += self._bet("score", bets(u), KINDS, share)
        highest = self.plan.highest_rate
        if highest is not None and study.p_value is not None:
            flagged = study.p_value <= self.plan.rate * (1 + 1e-12)
            changes += self._bet("flags", flag_bets(flagged, highest), ("more",) * len(STEPS), share)
        for name in self.plan.facts:
            changes += self._fact(f"fact {name}", study.facts.get(name), study.key, share)
        for name in self.plan.features:
            changes += self._fact(f"feature {name}", study.features.get(name), study.key, share)
        self.trace.append(
            Point(
                self.studies, study.key, u, self._evidence("score").years / self.thresholds["score"],
                self.cusum.up / limit, self.cusum.down / limit,
            )
        )  # fmt: skip
        return changes

    def expect(self, studies_per_year: float) -> None:
        """From now on so many studies come in a year."""
        self.plan = replace(self.plan, studies_per_year=studies_per_year)
        self.__dict__.pop("limit", None)

    def accept(self, watcher: str) -> None:
        """What this watcher sees now is the new state: it compares with studies from here on, and scores with
        the calibration's again where they were."""
        self.evidence.pop(watcher, None)
        if watcher in ("score", "cusum"):
            self.ranks["score"], self.cusum = OnlineRanks(self.plan.reference), Cusum()
            self.evidence.pop("score", None)
        elif watcher in self.ranks:
            self.ranks[watcher] = type(self.ranks[watcher])()

    def _fact(self, name: str, value: float | str | None, key: str, share: float) -> list[Change]:
        if name not in self.ranks:
            if value is None:
                return []
            self.ranks[name] = OnlineWords() if isinstance(value, str) else OnlineRanks()
            missed = self.studies - 1
            if isinstance(self.ranks[name], OnlineWords):
                self.ranks[name] = OnlineWords({"": missed} if missed else None)
            else:
                self.ranks[name] = OnlineRanks([MISSING] * missed)
        u = self._u(name, value, key)
        words = isinstance(self.ranks[name], OnlineWords)
        found = self._bet(name, bets(u), KINDS, share)
        if not words:
            return found
        return [Change(one.watcher, CHANGED[one.kind], one.study, one.since) for one in found]

    def _u(self, name: str, value: float | str | None, key: str) -> float:
        ranks, theta = self.ranks[name], draw(self.plan.seed, name, key)
        if isinstance(ranks, OnlineWords):
            return ranks.add("" if value is None else str(value), theta)
        number = value if isinstance(value, int | float) and value == value else MISSING
        return ranks.add(float(number), theta)

    def _evidence(self, name: str) -> Evidence:
        return self.evidence.setdefault(name, Evidence())

    def _bet(self, name: str, gains: list[float], kinds: tuple[str, ...], share: float) -> list[Change]:
        found = self._evidence(name).take(gains, kinds, share, self.thresholds[name])
        return [Change(name, found.kind, self.studies, found.since)] if found else []

    def state(self) -> dict[str, Any]:
        """JSON from which `from_state` goes on. It holds numbers and words of headers, and no patient."""
        return {
            "format": FORMAT,
            "studies": self.studies,
            "ranks": {
                name: dict(ranks.counts) if isinstance(ranks, OnlineWords) else _finite(ranks.values)
                for name, ranks in self.ranks.items()
            },
            "evidence": {name: [one.capital, one.length] for name, one in self.evidence.items()},
            "cusum": [self.cusum.up, self.cusum.down, self.cusum.ups, self.cusum.downs],
            "trace": [[p.study, p.key, p.u, p.evidence, p.up, p.down] for p in self.trace],
        }

    @classmethod
    def from_state(cls, plan: Plan, state: Mapping[str, Any]) -> Self:
        """Raises ValueError, KeyError or TypeError where it is no state of this format."""
        if state["format"] != FORMAT:
            raise ValueError(f"a state of format {state['format']}")
        watch = cls(plan)
        watch.studies = int(state["studies"])
        watch.ranks = {
            name: OnlineWords(kept)
            if isinstance(kept, dict)
            else OnlineRanks(MISSING if value is None else value for value in kept)
            for name, kept in state["ranks"].items()
        }
        watch.evidence = {name: Evidence(*kept) for name, kept in state["evidence"].items()}
        watch.cusum = Cusum(*state["cusum"])
        watch.trace.extend(Point(*kept) for kept in state["trace"])
        return watch


def _finite(values: Iterable[float]) -> list[float | None]:
    return [value if math.isfinite(value) else None for value in values]
