"""Scoring without a folder: files, tables, arrays and tensors give the readings that a folder would hold."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as Picture

from secondread.bundles.bundle import Bundle
from secondread.errors import UserError
from secondread.evaluation.evaluate import evaluate
from secondread.images.read import read_image
from secondread.readings.score import score


def test_readings_in_memory_are_those_of_a_folder(fitted: Bundle, phantoms, tmp_path: Path) -> None:
    tested = phantoms.where("split=test")
    here = score(fitted, tested, workers=0)
    there = score(fitted, tested, tmp_path / "out", workers=0)
    assert here.rows == there.rows
    assert here.acquisition == there.acquisition
    assert here.studies.keys() == there.studies.keys()
    assert {path: reading.score for path, reading in here.studies.items()} == {
        path: reading.score for path, reading in there.studies.items()
    }
    for path, picture in there.thumbnails.items():
        np.testing.assert_array_equal(here.thumbnails[path], picture)
    both = [evaluate(readings, phantoms, bootstrap=20, workers=0).metrics() for readings in (here, there)]
    assert both[0]["auroc"] == both[1]["auroc"]
    assert both[0]["shortcut"] == both[1]["shortcut"]


@pytest.mark.parametrize("kind", ["list", "array", "tensor", "tensors"])
def test_arrays_get_the_scores_of_their_files(kind, fitted: Bundle, phantoms) -> None:
    tested = phantoms.where("split=test")
    images = [read_image(tested.reference(row)).pixels for row in tested.rows]
    given = {
        "list": images,
        "array": np.stack(images),
        "tensor": torch.from_numpy(np.stack(images)),
        "tensors": [torch.from_numpy(image) for image in images],
    }[kind]
    found = score(fitted, given)
    assert [row.path for row in found.rows] == [str(number) for number in range(len(images))]
    assert [row.score for row in found.rows] == [row.score for row in score(fitted, tested, workers=0).rows]


def test_a_data_frame_is_a_manifest(fitted: Bundle, phantoms) -> None:
    pandas = pytest.importorskip("pandas")
    tested = phantoms.where("split=test")
    frame = pandas.DataFrame({"path": [tested.reference(row) for row in tested.rows], "label": None})
    assert [row.score for row in score(fitted, frame, workers=0).rows] == [
        row.score for row in score(fitted, tested, workers=0).rows
    ]


def test_a_bad_array_costs_itself_alone(fitted: Bundle) -> None:
    good = np.random.default_rng(0).integers(0, 255, (40, 40), np.uint8)
    found = score(fitted, [good, np.full((4, 4), np.nan), good])
    assert [row.failed for row in found.rows] == [False, True, False]
    assert "finite" in found.rows[1].error


def test_a_broken_file_costs_itself_alone(fitted: Bundle, tmp_path: Path) -> None:
    Picture.effect_noise((40, 40), 30).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    found = score(fitted, [tmp_path / "a.png", tmp_path / "b.png"], workers=0)
    assert [row.failed for row in found.rows] == [False, True]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"out": "out"}, "arrays are scored in memory"),
        ({"where": ["split=test"]}, "arrays are scored in memory"),
    ],
)
def test_arguments_of_files_are_refused_for_arrays(arguments, words, fitted: Bundle) -> None:
    with pytest.raises(UserError, match=words):
        score(fitted, [np.zeros((8, 8))], **arguments)


def test_arguments_of_arrays_and_mixtures_are_refused(fitted: Bundle, phantoms) -> None:
    with pytest.raises(UserError, match="a file says its own"):
        score(fitted, phantoms, spacing=[1.0, 1.0])
    with pytest.raises(UserError, match="spectrum gives no maps"):
        score(fitted, phantoms, maps=True)
    with pytest.raises(UserError, match="no stack of pictures"):
        score(fitted, np.zeros((8, 8)))
    with pytest.raises(UserError, match="cannot be scored in one call"):
        score(fitted, ["a.png", np.zeros((8, 8))])
    with pytest.raises(UserError, match="at least one array"):
        score(fitted, np.zeros((0, 8, 8)))


def test_maps_of_arrays_and_files_are_those_that_are_written(
    mapping_bundle: Bundle, phantoms, tmp_path
) -> None:
    tested = phantoms.where("label=abnormal")
    images = [read_image(tested.reference(row)).pixels for row in tested.rows]
    here = score(mapping_bundle, images, maps=True)
    by_file = score(mapping_bundle, tested, maps=True, workers=0)
    written = score(mapping_bundle, tested, tmp_path / "out", maps=True, workers=0)
    assert here.maps is not None
    assert by_file.maps is not None
    for number, row in enumerate(written.rows):
        heat = read_image(str(row.map)).pixels[0]
        np.testing.assert_array_equal(by_file.maps[row.path], heat)
        np.testing.assert_array_equal(here.maps[str(number)], heat)
    assert score(mapping_bundle, images).maps is None


@pytest.mark.parametrize("kind", ["generator", "objects", "texts", "series"])
def test_files_come_in_whatever_holds_their_paths(kind, fitted: Bundle, phantoms) -> None:
    paths = [Path(phantoms.reference(row)) for row in phantoms.where("split=test").rows[:3]]
    if kind == "series":
        pandas = pytest.importorskip("pandas")
        given = pandas.Series(map(str, paths), index=range(5, 8))
    else:
        texts = np.array([str(path) for path in paths])
        given = {"generator": (path for path in paths), "objects": np.array(paths), "texts": texts}[kind]
    found = score(fitted, given, workers=0)
    assert [row.score for row in found.rows] == [row.score for row in score(fitted, paths, workers=0).rows]


def test_one_condition_is_no_list_of_them(fitted: Bundle, phantoms) -> None:
    with pytest.raises(UserError, match=r"where is one text, and a list is meant: where=\['split=test'\]"):
        score(fitted, phantoms, where="split=test", workers=0)
    with pytest.raises(UserError, match="where is one text"):
        evaluate(score(fitted, phantoms, workers=0), phantoms, where="split=test")
