from __future__ import annotations

import pytest

from secondread.wording.numbers import NOTHING, rate


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, NOTHING),
        (float("nan"), NOTHING),
        (0, "0 %"),
        (0.00077, "0.077 %"),
        (0.05, "5 %"),
        (0.106, "10.6 %"),
        (0.99, "99 %"),
        (0.9995, "99.95 %"),
        (0.9999, "99.99 %"),
        (1, "100 %"),
    ],
)
def test_a_rate_that_is_nearly_none_or_all_is_not_rounded_to_it(value: float | None, said: str) -> None:
    assert rate(value) == said
