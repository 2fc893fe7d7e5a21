"""Several processes that compute read what one reads, and say what went wrong in one of them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from secondread.bundles.bundle import Bundle
from secondread.bundles.fitted_model import FittedModel
from secondread.cohorts.manifest import Manifest
from secondread.errors import DataError, UserError
from secondread.readings.apart.judges import Judges, judging
from secondread.readings.apart.messages import Asked
from secondread.readings.inputs import gather
from secondread.readings.pipeline import read_items

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from secondread.exporting.export import export


@pytest.fixture(scope="module")
def model(mapping_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> FittedModel:
    """Exported, so that its processes begin without torch."""
    return export(mapping_bundle, tmp_path_factory.mktemp("model") / "exported")


@pytest.fixture
def two(model: FittedModel) -> Iterator[Judges]:
    with Judges(model, 2) as judges:
        yield judges


@pytest.fixture
def asked(model: FittedModel) -> Asked:
    return Asked(np.zeros((1, 1, *model.recipe.preprocessing.size), np.float32), None, ["0" * 64], False)


def test_readings_and_maps_are_the_same_bits_in_the_same_order(
    model: FittedModel, two: Judges, phantoms: Manifest, tmp_path: Path
) -> None:
    films = [phantoms.reference(row) for row in phantoms.where("split=test").rows[:7]]
    (tmp_path / "broken.png").write_bytes(b"no picture")
    items = gather([*films[:2], tmp_path / "broken.png", *films[2:]]).items
    alone = read_items(model, items, maps=True, workers=0, batch_size=2)
    shared = read_items(model, items, maps=True, workers=0, batch_size=2, judges=two)
    for one, other in zip(alone, shared, strict=True):
        assert one.reading == other.reading
        np.testing.assert_array_equal(one.map, other.map)


def test_batches_without_an_image_keep_their_place(two: Judges, asked: Asked) -> None:
    batches = [(n, None if n % 3 == 1 else asked) for n in range(8)]
    found = list(two.judged(batches))
    assert [(n, decisions is None) for n, decisions in found] == [(n, n % 3 == 1) for n in range(8)]


def test_a_process_that_is_killed_is_told_with_what_to_do(two: Judges, asked: Asked) -> None:
    assert next(two.judged([(0, asked)]))[1] is not None
    two.judges[0].process.kill()
    with pytest.raises(UserError, match=r"ended by signal 9, perhaps for memory; .* fewer --processes"):
        list(two.judged([(0, asked)] * 3))


def test_a_model_that_changed_since_it_was_loaded_is_refused(
    model: FittedModel, asked: Asked, tmp_path: Path
) -> None:
    shutil.copytree(str(model.path), tmp_path / "copy")
    with (
        Judges(replace(model, path=tmp_path / "copy", digest="0" * 64), 1) as judges,
        pytest.raises(DataError, match="was changed since it was loaded"),
    ):
        list(judges.judged([(0, asked)]))


def test_no_process_is_left_when_the_block_ends(model: FittedModel) -> None:
    with Judges(model, 2) as judges:
        processes = [judge.process for judge in judges.judges]
    assert all(process.poll() is not None for process in processes)


def test_a_bundle_that_was_not_saved_is_refused(fitted: Bundle) -> None:
    with pytest.raises(UserError, match="save it first"):
        judging(replace(fitted, path=None), 2)
