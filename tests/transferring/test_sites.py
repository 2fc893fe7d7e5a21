from dataclasses import replace
from pathlib import Path

import pytest

from secondread.cohorts.manifest import Manifest
from secondread.cohorts.row import Row
from secondread.errors import UserError
from secondread.transferring.sites import choose_sites


def manifest(*rows: tuple[str, str, str, str]) -> Manifest:
    """Rows of site, split, label and patient."""
    return Manifest(
        tuple(
            Row(f"{number}.png", split, label, patient_id=patient, extra={"site": site})
            for number, (site, split, label, patient) in enumerate(rows)
        ),
        Path("films"),
        "films.csv",
    )


HOME = (
    ("A", "train", "normal", "a1"), ("A", "train", "normal", "a2"),
    ("A", "test", "normal", "a3"), ("A", "test", "abnormal", "a4"),
)  # fmt: skip
AWAY = (*(("B", "test", "normal", f"b{number}") for number in range(10)), ("B", "test", "abnormal", "c"))


def sites(*rows, **options):
    return choose_sites(manifest(*rows), ["site=A"], ["site=B"], **options)


def test_normals_of_the_other_site_are_divided_by_patient():
    found = sites(*HOME, *AWAY, ("B", "test", "normal", "b0"), held_apart=0.3, seed=1)
    spare = [row for row in found.away.rows if row.split == "train"]
    test = [row for row in found.away.rows if row.split == "test"]
    assert {row.label for row in spare} == {"normal"}
    assert len({row.patient_id for row in spare}) == 3
    assert not {row.patient_id for row in spare} & {row.patient_id for row in test}
    assert len(spare) + len(test) == len(AWAY) + 1
    assert [row.split for row in found.home.rows] == [split for _, split, *_ in HOME]
    assert sites(*HOME, *AWAY, seed=1) == sites(*HOME, *AWAY, seed=1) != sites(*HOME, *AWAY, seed=2)


def test_normals_outside_its_test_rows_calibrate_the_other_site():
    rows = [("B", "train", "normal", "d1"), ("B", "train", "normal", "d2"), ("B", "train", "abnormal", "d3")]
    found = sites(*HOME, *AWAY, *rows)
    assert {row.patient_id for row in found.away.rows if row.split == "train"} == {"d1", "d2"}
    assert sum(row.split == "test" for row in found.away.rows) == len(AWAY)


def test_a_site_without_splits_is_judged_by_all_its_labelled_rows():
    rows = [("B", "", label, patient) for _, _, label, patient in AWAY] + [("B", "", "", "x")]
    found = sites(*HOME, *rows, held_apart=0.5)
    assert sum(row.split == "test" for row in found.away.rows) == 6
    assert all(row.label for row in found.away.rows)


def test_leaks_and_what_is_missing_are_refused():
    shared = ("B", "test", "normal", "a1")
    for rows, expected in (
        ((*HOME, *AWAY, shared), "1 patient of site=B is at site=A too: a1"),
        ((*HOME[:2], *AWAY), "no row of site=A has split test"),
        ((*HOME, AWAY[-1], AWAY[0]), "normals of 1 patient"),
        (HOME, "no row meets site=B"),
    ):
        with pytest.raises(UserError, match=expected):
            sites(*rows)
    both = manifest(*HOME, *AWAY)
    with pytest.raises(UserError, match=r"4 rows of .* are of site=A too"):
        choose_sites(both, ["site=A"], ["split=train|test"])
    with pytest.raises(UserError, match="--train 'site=A'"):
        choose_sites(both, [], ["site=B"])
    alone = replace(both, rows=tuple(row for row in both.rows if row.label != "abnormal"))
    assert choose_sites(alone, ["site=A"], ["site=B"]).away.rows
