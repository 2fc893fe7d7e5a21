"""How many patients a sensitivity, a specificity or a promised rate of false alarms needs."""

from __future__ import annotations

from secondread.metrics.planning.search import smallest
from secondread.metrics.realised_rate import patients_needed, realised_range
from secondread.metrics.shares import clopper_pearson


def patients_for_share(share: float, width: float, level: float = 0.95) -> int:
    """The fewest patients of a label of whom a share `share`, found in them, has an interval of at most
    `width` from end to end (Clopper's and Pearson's, which the report gives). ValueError for a width outside
    (0, 1).

    >>> patients_for_share(0.9, 0.1)
    158
    """
    if not 0 <= share <= 1:
        raise ValueError(f"a share of {share} does not lie from 0 to 1")
    if not 0 < width < 1:
        raise ValueError(f"a width of {width} does not lie between 0 and 1")

    def enough(patients: int) -> bool:
        low, high = clopper_pearson(share * patients, patients, level)
        return high - low <= width

    return smallest(enough)


def patients_for_promise(rate: float, at_most: float, level: float = 0.95) -> int:
    """The fewest calibration patients with whom the realised rate of false alarms stays at or below `at_most`
    in all but `(1 - level) / 2` of calibration sets, where `rate` is promised. ValueError unless rate <
    at_most.

    A promise of `rate` alone needs `realised_rate.patients_needed`.

    >>> patients_for_promise(0.05, 0.08)
    259
    """
    if not 0 < rate < at_most < 1:
        raise ValueError(f"the highest rate {at_most} must lie above the promised {rate} and below 1")

    def whole(steps: int) -> int:
        """Patients with whom `steps` of them are exactly that rate: between such numbers the range is
        narrower and the rate given away."""
        return max(round(steps / rate) - 1, patients_needed(rate))

    def enough(steps: int) -> bool:
        found = realised_range(rate, whole(steps), level)
        return found is not None and found[1] <= at_most

    return whole(smallest(enough, start=1))
