"""Evidence of a change, and the alarm that keeps a promise: a Shiryaev-Roberts procedure that bets.

Let u_1, u_2, ... be independent and uniform while nothing drifts (`ranks`). A bet is a density b on (0, 1):
its mean under the uniform distribution is 1, so the capital prod b(u_t) of whoever bets is a martingale, and
grows when the u are distributed more like b. The change may begin at any study, so a new unit of capital is
staked with each, here the share w_t of a year for which the study stands (1 / N where N come a year):

    R_t = (w_t + R_{t-1}) b(u_t),   R_0 = 0,   alarm where R_t >= A, and then R_t = 0 again.

**What is promised.** E[R_t | before] = w_t + R_{t-1}. Each alarm takes at least A away, so with K_t alarms
until t the process R_t + A K_t - sum w is a supermartingale that begins at 0, and R >= 0, hence for every t

    E[K_t] <= (w_1 + ... + w_t) / A = years / A:

the expected number of false alarms in any time is at most that time over A. It is exact for any finite time,
and needs no independence of several such procedures: with shares s_j that add up to at most 1, and A_j = 1 /
(s_j r), the expected number of false alarms of all of them together is at most r a year. (The average run
length to a false alarm is therefore at least A years too: E[years at the alarm] >= A.)

The change's kind is not known either: R is the mean over a bank of bets, which is again such a process. With
z = -Phi^-1(u), standard normal while nothing drifts and high where a value is high, the bank holds likelihood
ratios of N(delta, 1) and of N(0, sigma^2) against N(0, 1):

    b(u) = exp(delta z - delta^2 / 2),      b(u) = exp(z^2 (1 - 1 / sigma^2) / 2) / sigma.

V. Vovk, I. Petej, I. Nouretdinov, E. Ahlberg, L. Carlsson, A. Gammerman, "Retrain or not retrain: conformal
test martingales for change-point detection", Conformal and Probabilistic Prediction and Applications 2021; J.
Shin, A. Ramdas, A. Rinaldo, "E-detectors: a nonparametric framework for sequential change detection", New
England Journal of Statistics in Data Science 2 (2024).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import NormalDist

_NORMAL = NormalDist()
_NEAREST = 1e-12
SHIFTS = (0.25, -0.25, 0.5, -0.5, 1.0, -1.0)
SPREADS = (0.5, 1.5, 2.0)
KINDS = (*("higher" if delta > 0 else "lower" for delta in SHIFTS), "narrower", "wider", "wider")
"""What each bet of the bank is on."""


def normal_score(u: float) -> float:
    """`-Phi^-1(u)`: standard normal for a uniform u, and high for a small one.

    >>> round(normal_score(0.05), 3)
    1.645
    """
    return -_NORMAL.inv_cdf(min(max(u, _NEAREST), 1 - _NEAREST))


def bets(u: float) -> list[float]:
    """Each bet of the bank at u."""
    z = normal_score(u)
    half = z * z / 2
    return [math.exp(delta * z - delta * delta / 2) for delta in SHIFTS] + [
        math.exp(half * (1 - 1 / sigma**2)) / sigma for sigma in SPREADS
    ]


@dataclass(frozen=True)
class Found:
    """A change. `kind`: what the values are now, as `KINDS` has it; `since`: how many studies ago it seems to
    have begun, this one counted."""

    kind: str
    since: int


@dataclass
class Evidence:
    """R of each bet, in years, and for how many studies each has been above its stake.

    >>> evidence = Evidence()
    >>> found = [evidence.take(bets(0.01), KINDS, 1 / 1000, 2.0) for _ in range(9)]
    >>> [one.kind for one in found if one]
    ['higher']
    """

    capital: list[float] = field(default_factory=list)
    length: list[int] = field(default_factory=list)

    @property
    def years(self) -> float:
        """The mean of R over the bank."""
        return sum(self.capital) / len(self.capital) if self.capital else 0.0

    def take(
        self, gains: Sequence[float], kinds: Sequence[str], share: float, threshold: float
    ) -> Found | None:
        """One study more, which stands for `share` of a year.

        `gains` is what each bet gains by it, and `kinds` the change that each is on. Where `years` reaches
        `threshold` it is a change, and the evidence begins anew.
        """
        capital, length = self.capital or [0.0] * len(gains), self.length or [0] * len(gains)
        self.length = [count + 1 if held > share else 1 for count, held in zip(length, capital, strict=True)]
        self.capital = [(share + held) * gain for held, gain in zip(capital, gains, strict=True)]
        if self.years < threshold:
            return None
        strongest = max(range(len(kinds)), key=self.capital.__getitem__)
        found = Found(kinds[strongest], self.length[strongest])
        self.capital, self.length = [], []
        return found


def threshold(per_year: float, share: float) -> float:
    """A in years for a procedure that has `share` of `per_year` promised false alarms a year."""
    if not (per_year > 0 and 0 < share <= 1):
        raise ValueError(f"{share} of {per_year} false alarms a year is no promise")
    return 1 / (per_year * share)
