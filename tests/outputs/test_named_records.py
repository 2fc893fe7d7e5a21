"""Records under names: as a dictionary would have them, whatever the names and the order of asking."""

from collections.abc import Iterator

import numpy as np
import pytest

from secondread.errors import UserError
from secondread.outputs.named_records import NamedRecords


def records(given: list[tuple[str, bytes]]) -> NamedRecords[bytes]:
    return NamedRecords("things", lambda: iter(given), bytes)


def test_they_are_those_of_a_dictionary_in_any_order() -> None:
    draws = np.random.default_rng(0)
    given = [(f"caf\udce9 {draws.integers(40)}", draws.bytes(int(draws.integers(30)))) for _ in range(90)]
    kept, found = dict(given), records(given)
    assert len(found) == len(kept)
    assert dict(found) == kept
    for name in draws.permutation(list(kept)).tolist():
        assert found[name] == kept[name]
        assert name in found
    assert found.get("caf\udce9 99") is None
    assert 3 not in found


def test_nothing_is_read_before_it_is_asked_for() -> None:
    asked = []

    def fill() -> Iterator[tuple[str, bytes]]:
        asked.append(1)
        yield "a", b"1"

    found = NamedRecords("things", fill, int)
    assert not asked
    assert (found["a"], found["a"], len(asked)) == (1, 1, 1)
    assert not records([])


def test_a_full_disk_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def full() -> Iterator[tuple[str, bytes]]:
        yield "a", b"1"
        raise OSError(28, "No space left on device")

    with pytest.raises(UserError, match=r"things: no room left .* set TMPDIR"):
        len(NamedRecords("things", full, bytes))
