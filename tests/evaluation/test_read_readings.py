import numpy as np
import pytest
from made_readings import make_readings

from secondread.errors import DataError, UserError
from secondread.readings.readings import Readings


@pytest.fixture
def made(tmp_path):
    return make_readings(tmp_path, normal=3, abnormal=2, studies=True)


def test_a_folder_of_readings_comes_back_whole(made):
    readings = Readings.read(made.out)
    assert len(readings.rows) == 5
    assert readings.rows[0].score == float(made.readings[0]["score"])
    assert readings.rows[0].baselines.keys() == {"mean_intensity", "pixel_1nn", "spectrum"}
    assert readings.thumbnails[readings.rows[0].path].shape == (16, 16)
    assert {study.path for study in readings.studies.values()} == {r["study_id"] for r in made.studies}
    assert all(study.score is not None for study in readings.studies.values())


def test_the_last_row_of_a_path_counts(made):
    made.readings.append(made.readings[0] | {"score": "", "error": "truncated"})
    readings = Readings.read(made.write().csv)
    assert len(readings.rows) == 5
    assert readings.rows[-1].failed


def test_a_score_that_is_not_finite_is_a_failure(made):
    made.readings[0]["score"] = "nan"
    assert Readings.read(made.write().csv).rows[0].failed


def test_a_torn_last_line_is_told(made):
    text = made.csv.read_text()
    made.csv.write_text(text[: len(text) // 2])
    with pytest.raises(DataError, match="cut short"):
        Readings.read(made.csv)


def test_another_table_is_refused(made):
    with pytest.raises(UserError, match="no column 'score'"):
        Readings.read(made.manifest)


@pytest.mark.parametrize(
    ("changed", "encoding", "told"),
    [
        (
            lambda text: text.replace(",", ";"),
            "utf-8",
            "separated by semicolons, as another program saved it",
        ),
        (
            lambda text: "sep=;\n" + text.replace(",", ";"),
            "utf-8",
            "separated by semicolons, as another program saved it",
        ),
        (lambda text: text.replace(",", "\t"), "utf-8", "separated by tabs, as another program saved it"),
        (lambda text: text, "utf-16", "UTF-16, as another program saved it"),
    ],
)
def test_readings_that_a_spreadsheet_saved_are_named_as_such(made, changed, encoding, told):
    made.csv.write_bytes(changed(made.csv.read_text()).encode(encoding))
    with pytest.raises(UserError, match=f"{told}; numbers may have changed, too: give the table as"):
        Readings.read(made.csv)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        Readings.read(tmp_path / "readings.csv")


@pytest.mark.parametrize(
    "name", ["readings.csv", "studies.csv", "acquisition.csv", "thumbnails.npz", "run.json"]
)
def test_a_damaged_file_is_one_line_or_whole(made, name):
    data = (made.out / name).read_bytes()
    draw = np.random.default_rng(0)
    said = []
    for turn in range(80):
        at = int(draw.integers(len(data)))
        damaged = (
            data[:at] + bytes([data[at] ^ (1 << int(draw.integers(8)))]) + data[at + 1 :],
            data[:at] + b"\xff" * len(data[at : at + 30]) + data[at + 30 :],
            data[:at],
            draw.bytes(200),
        )[turn % 4]
        (made.out / name).write_bytes(damaged)
        try:
            found = Readings.read(made.out)
            assert len(found.acquisition) + len(found.thumbnails) + len(found.fingerprints)
        except (DataError, UserError) as error:
            said.append(str(error))
    assert len(said) > 30
    assert all(name in line and "\n" not in line for line in said)


def test_damaged_json_is_told(made):
    (made.out / "run.json").write_text("{")
    with pytest.raises(DataError, match=r"run\.json"):
        Readings.read(made.csv)
