from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import pytest
from numpy.typing import NDArray
from typing_extensions import TypeAliasType

from secondread.images.image import ImageError
from secondread.images.workers.message_values import BadMessage
from secondread.images.workers.messages import Messages, write_error


@dataclass(frozen=True)
class Inner:
    size: tuple[int, ...]
    kind: Literal["film", "volume"] = "film"


@dataclass(frozen=True)
class Everything:
    inner: Inner | None
    facts: dict[str, float | str]
    pixels: NDArray[np.float32]
    mask: NDArray[np.bool_] | None
    any_numbers: NDArray[np.generic]
    where: Path
    pairs: list[tuple[str, bool]] = field(default_factory=list)


def joined(messages: Messages, value: Any, item: int = 3) -> NDArray[np.uint8]:
    return np.frombuffer(b"".join(bytes(part) for part in messages.write(item, value)), np.uint8)


def made(head: Any, arrays: bytes = b"") -> NDArray[np.uint8]:
    text = json.dumps(head).encode()
    data = len(text).to_bytes(8, "little") + text
    return np.frombuffer(data + bytes(-len(data) % 64) + arrays, np.uint8)


def test_what_is_written_is_read() -> None:
    value = Everything(
        Inner((3, 4), "volume"),
        {"kvp": np.float64(120.5), "mode": "grey", "rows": 3},
        np.arange(12, dtype=np.float32).reshape(3, 4)[:, ::2],
        np.array([[True, False]]),
        np.arange(5, dtype=">u2"),
        Path("a/b\udcff.png"),
        [("x", True)],
    )
    messages = Messages(tuple[Everything, None])
    answer = messages.read(joined(messages, (value, None)))
    assert (answer.item, answer.error) == (3, None)
    found = answer.value[0]
    assert (found.inner, found.facts, found.where, found.pairs) == (
        value.inner,
        value.facts,
        value.where,
        value.pairs,
    )
    np.testing.assert_array_equal(found.pixels, value.pixels)
    np.testing.assert_array_equal(found.mask, value.mask)
    np.testing.assert_array_equal(found.any_numbers, value.any_numbers)
    assert found.pixels.dtype == np.float32


def test_an_error_is_told_by_its_three_fields() -> None:
    parts = write_error(5, ImageError("a.dcm", "is bad", "mend it"))
    answer = Messages(int).read(np.frombuffer(b"".join(bytes(part) for part in parts), np.uint8))
    assert (answer.item, str(answer.error)) == (5, "a.dcm: is bad; mend it")


@pytest.mark.parametrize(
    ("expected", "value"),
    [
        (int, "3"),
        (int, True),
        (int, 2**63),
        (bool, 1),
        (Literal["a", "b"], "c"),
        (tuple[int, int], (1,)),
        (dict[str, int], {1: 2}),
        (Inner, {"size": (1,)}),
        (NDArray[np.float32], np.zeros(3)),
        (NDArray[np.generic], np.zeros(3, complex)),
        (NDArray[np.generic], np.array([object()])),
        (int | str, 2.5),
        (str, "x" * (1 << 23)),
    ],
)
def test_what_is_of_another_type_is_not_sent(expected: Any, value: Any) -> None:
    messages = Messages(expected)
    with pytest.raises(BadMessage):
        messages.write(0, value)


@pytest.mark.parametrize(
    ("expected", "told"),
    [
        (int, True),
        (int, 2**70),
        (int, [0]),
        (str, 3),
        (int | str, 3),
        (int | str, [2, 3]),
        (int | str, [-1, 3]),
        (Inner, [[1, 2]]),
        (Inner, [[1, 2], "neither"]),
        (Inner, {"size": [1]}),
        (tuple[int, ...], "12"),
        (dict[str, int], {"a": "b"}),
        (NDArray[np.float32], ["<f8", [1], 0]),
        (NDArray[np.float32], ["<f4", [1 << 40], 0]),
        (NDArray[np.float32], ["<f4", [1 << 47, 1 << 47, 0], 0, 0]),
        (NDArray[np.float32], ["<f4", [-1], 0]),
        (NDArray[np.float32], ["<f4", [True], 0]),
        (NDArray[np.float32], ["<f4", [1], 1]),
        (NDArray[np.float32], ["<f4", [1], -64]),
        (NDArray[np.float32], ["<f4", [1] * 9, 0]),
        (NDArray[np.generic], ["O", [1], 0]),
        (NDArray[np.generic], ["V8", [1], 0]),
        (NDArray[np.bool_], ["|b1", [64], 0]),
    ],
)
def test_what_is_of_another_type_is_not_taken(expected: Any, told: Any) -> None:
    with pytest.raises(BadMessage):
        Messages(expected).read(made([0, [told]], b"\7" * 64))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0" * 7,
        b"\xff" * 64,
        (1 << 22).to_bytes(8, "little") + b"[0, [1]]",
        (4).to_bytes(8, "little") + b"\x80\x04K\x01.",
        (100_000).to_bytes(8, "little") + b"[" * 100_000,
        (9).to_bytes(8, "little") + b'{"a": 12}',
        (10_000).to_bytes(8, "little") + b"9" * 10_000,
        (8).to_bytes(8, "little") + b"[0, [1],",
    ],
)
def test_what_is_no_message_is_refused(data: bytes) -> None:
    with pytest.raises(BadMessage):
        Messages(int).read(np.frombuffer(data, np.uint8))


def test_every_cut_of_a_message_is_refused_or_equal() -> None:
    messages = Messages(tuple[NDArray[np.float32], str])
    whole = joined(messages, (np.arange(40, dtype=np.float32), "x"))
    for length in range(len(whole)):
        try:
            found = messages.read(whole[:length]).value
        except BadMessage:
            continue
        np.testing.assert_array_equal(found[0], np.arange(40))  # only the zeros behind it are missing


def test_a_type_that_could_be_anything_is_not_agreed_upon() -> None:
    for expected in (object, Any, np.random.Generator, type, dict[int, int]):
        with pytest.raises(ValueError, match="not sent between processes"):
            Messages(expected)


def test_a_name_that_a_type_statement_gave_stands_for_its_type() -> None:
    """NumPy's own NDArray is such a name since 2.5."""
    number = TypeVar("number", bound=np.generic)
    named = TypeAliasType("named", np.ndarray[tuple[Any, ...], np.dtype[number]], type_params=(number,))
    messages = Messages(named[np.float32])
    found = messages.read(joined(messages, np.arange(3, dtype=np.float32))).value
    np.testing.assert_array_equal(found, np.arange(3))


def test_a_function_must_say_what_it_returns() -> None:
    def silent(item: int):  # type: ignore[no-untyped-def]
        return item

    with pytest.raises(ValueError, match="what it returns"):
        Messages.of(silent)
