"""Cases as columns are the cases that rows and readings make, in little memory."""

import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from secondread.cohorts.row import PackedRows, Row
from secondread.evaluation.packed_cases import Case, PackedCases
from secondread.readings.reading import Reading
from secondread.readings.streamed.packed_readings import PackedReadings

BASE = Path("/films")
ROWS = [
    Row("a.png", "test", "abnormal", "nodule; mass", "p2", "s1", "a mask.png", {"view": "PA", "site": ""}),
    Row("b.tif#frame/0", "test", "normal", extra={"view": "AP", "site": "north"}),
    Row("b.tif#frame/1", "test", "normal", study_id="s0", extra={"view": "", "site": "north"}),
    Row("c.png", "test", "abnormal", "mass", extra={"view": "PA", "site": ""}),
]
READINGS = [
    Reading("c.png", score=1.5, p_value=0.2, flagged=True, parts={"area": 3.0}, remarks=("tilted", "dark")),
    Reading("a.png", score=-2.0, baselines={"spectrum": 4.0}, seen="normal", map=BASE / "maps/a.tif"),
    Reading("b.tif#frame/0", score=0.25, flagged=False, frame=0, parts={"area": 1.0}),
    Reading("b.tif#frame/1", score=0.5, flagged=False, frame=1, parts={"area": 2.0}),
]


@pytest.fixture
def packed() -> PackedCases:
    rows = PackedRows(("view", "site"), ROWS)
    return PackedCases(rows, PackedReadings.of(READINGS), BASE, np.arange(4), np.array([1, 2, 3, 0]))


@pytest.fixture
def cases() -> list[Case]:
    by_path = {reading.path: reading for reading in READINGS}
    return [
        Case(
            row.path,
            f"/films/{row.path}",
            row.label == "abnormal",
            by_path[row.path],
            row.findings,
            row.patient_id,
            row.study_id,
            f"/films/{row.mask}" if row.mask else None,
            {name: cell for name, cell in row.extra.items() if cell},
        )
        for row in ROWS
    ]


def test_each_is_what_its_row_and_its_reading_say(packed: PackedCases, cases: list[Case]) -> None:
    assert list(packed) == cases
    assert packed[-1:] == cases[-1:]


def test_columns_say_what_the_cases_say(packed: PackedCases, cases: list[Case]) -> None:
    assert packed.abnormal.tolist() == [case.abnormal for case in cases]
    assert packed.scores.tolist() == [case.score for case in cases]
    assert list(packed.group_names()) == [case.group for case in cases]
    assert list(packed.paths_read) == [case.reading.path for case in cases]
    assert np.array_equal(packed.numbers("part_area"), [np.nan, 1, 2, 3], equal_nan=True)
    assert packed.patients == {"p2"}
    assert packed.without_patient == 3
    cell, told = packed.findings()
    assert [told[at] for at in cell] == [case.findings for case in cases]
    assert list(packed.remarks()) == [("c.png", ("tilted", "dark"))]
    assert packed.further() == ["view", "site"]


def test_groups_are_numbers_in_the_order_of_their_names(packed: PackedCases) -> None:
    names = sorted(set(packed.group_names()))
    assert [names[at] for at in packed.groups] == list(packed.group_names())


def test_rows_come_back_as_they_were_and_take_little_memory() -> None:
    many = 5000
    tracemalloc.start()
    packed = PackedRows(("view", "site"), (replace(ROWS[0], path=f"{n:030}.png") for n in range(many)))
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert held / many < 150
    assert packed[many - 1] == replace(ROWS[0], path=f"{many - 1:030}.png")
    assert PackedRows(("view", "site"), ROWS) == ROWS
