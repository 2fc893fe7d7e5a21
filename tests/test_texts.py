"""Many texts in one block, and where they stand."""

from __future__ import annotations

import numpy as np
import pytest

from secondread import texts
from secondread.packed import Chosen
from secondread.texts import Cells, Places, Texts, Words

SEVERAL = ["a.png", "", "ä\n\x00", "caf\udce9.png", "a.png"]


def test_texts_come_back_as_they_were() -> None:
    texts = Texts(SEVERAL)
    assert list(texts) == SEVERAL
    assert texts[-2] == "caf\udce9.png"
    assert texts[1:3] == SEVERAL[1:3]


def test_a_text_is_found_at_its_first_place() -> None:
    places = Places(SEVERAL)
    assert [places.first(text, SEVERAL) for text in (*SEVERAL, "b")] == [0, 1, 2, 3, 0, None]
    assert places.doubtful.tolist() == [0, 4]


def test_no_texts_have_no_places() -> None:
    places = Places([])
    assert places.of("a") == []
    assert places.doubtful.tolist() == []


def test_cells_come_back_whether_few_or_many_are_different(monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(Cells(SEVERAL)) == SEVERAL
    monkeypatch.setattr(texts, "_MOST_WORDS", 2)
    cells = Cells(SEVERAL)
    assert (list(cells), cells[3], cells[-1]) == (SEVERAL, SEVERAL[3], "a.png")


@pytest.mark.parametrize("kind", [Texts, Words, Cells])
def test_texts_that_are_added_together_are_those_added_one_by_one(kind: type[Texts | Words | Cells]) -> None:
    many = [f"{number}.png" for number in range(700)]
    found = kind(SEVERAL)
    found.extend(many)
    found.extend([])
    found.extend(SEVERAL)
    assert list(found) == [*SEVERAL, *many, *SEVERAL]
    assert found.filled
    assert not kind(["", ""]).filled


def test_cells_that_are_added_together_become_texts_where_many_differ(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(texts, "_MOST_WORDS", 3)
    found = Cells(["a", "b"])
    found.extend(SEVERAL)
    assert list(found) == ["a", "b", *SEVERAL]


@pytest.mark.parametrize("numbers", [[], [3], [0, 1, 3, 4], [0, 1, 2, 3, 4], [4, 3, 2, 1], [1, 1, 1, 2]])
def test_chosen_texts_are_those_with_the_numbers(numbers: list[int]) -> None:
    for among in (SEVERAL, Texts(SEVERAL), Cells(SEVERAL)):
        chosen = Chosen(among, np.array(numbers, np.int64))
        assert list(chosen) == [SEVERAL[at] for at in numbers] == chosen[:]
