"""Packed readings are the readings that the table's rows say."""

from pathlib import Path

import numpy as np
import pytest

from secondread import tables
from secondread.errors import DataError
from secondread.readings.reading import Reading
from secondread.readings.streamed import reading_blocks
from secondread.readings.streamed.packed_readings import PackedReadings, each_reading
from secondread.readings.streamed.packed_studies import PackedStudies
from secondread.readings.table_writer import Columns

COLUMNS = Columns(("distance", "area"), ("spectrum",), without_complexity=True, places=True)
ROWS = [
    Reading("a", "12ab", "s", 0, 0.5, 1.25, 0.01, True, {"distance": -1e-9, "area": 3.0}, {"spectrum": 2.0}),
    Reading("caf\udce9", score=2.0, p_value=0.5, flagged=False, parts={"area": 1.0}, seen="calibration"),
    Reading("=b", study_id="@s", error="cannot be read: gone", remarks=("3 slices missing", "tilted")),
    Reading("b", score=0.0, map=Path("maps/b.tiff"), score_without_complexity=-0.5),
]


def written(folder: Path, rows: list[Reading]) -> Path:
    path = folder / "readings.csv"
    path.write_text(tables.table([COLUMNS.names, *(COLUMNS.row(row, Path()) for row in rows)]))
    return path


def test_each_comes_back_as_it_was_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, ROWS)
    wanted = [*ROWS[:3], Reading("b", score=0.0, map=tmp_path / "maps/b.tiff", score_without_complexity=-0.5)]
    found = PackedReadings.read(path)
    assert found == wanted
    assert (found[-1], found[1:3]) == (wanted[-1], wanted[1:3])
    assert found.failed.tolist() == [False, False, True, False]
    assert np.isnan(found.numbers("part_distance")).tolist() == [False, True, True, True]
    monkeypatch.setattr(reading_blocks, "AT_ONCE", 3)
    assert list(each_reading(path)) == list(PackedReadings.read(path)) == wanted
    assert [row.flagged for row in each_reading(path, judged=False)] == [None] * 4


def test_of_equal_paths_the_last_stays(tmp_path: Path) -> None:
    found = PackedReadings.read(written(tmp_path, [ROWS[0], ROWS[1], ROWS[0], ROWS[2]]))
    assert list(found) == [ROWS[1], ROWS[0], ROWS[2]]
    assert (found.find("a"), found.find("c")) == (1, None)


def test_judged_again_only_those_with_a_score_change(tmp_path: Path) -> None:
    found = PackedReadings.read(written(tmp_path, ROWS[:3]))
    new = found.judged({"score": np.array([7.0, 8.0]), "p_value": None}, np.array([False, True]))
    told = [(row.score, row.p_value, row.flagged) for row in new]
    assert told == [(7.0, None, False), (8.0, None, True), (None, None, None)]
    assert list(found) == ROWS[:3]


def test_a_cell_that_is_no_number_is_told_with_its_line(tmp_path: Path) -> None:
    path = written(tmp_path, ROWS[:2])
    path.write_text(path.read_text().replace("0.01", "much"))
    with pytest.raises(DataError, match=r"readings\.csv, line 2, column p_value: 'much' is not a number"):
        PackedReadings.read(path)


def test_studies_are_found_by_their_worst_image(tmp_path: Path) -> None:
    path = tmp_path / "studies.csv"
    path.write_text(
        "study_id,score,flagged,worst_image,error\none,2.5,true,a.png,\ntwo,,,,lost\nsix,,,,lost\n"
    )
    found = PackedStudies.read(path)
    assert dict(found) == {"a.png": Reading("one", study_id="one", score=2.5, flagged=True)}
    assert (len(found), "" in found, "b" in found, len(found.rows)) == (1, False, False, 2)
    assert not PackedStudies.read(tmp_path / "none.csv")
