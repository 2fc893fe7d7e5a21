"""What is no image of the kind that a bundle reads is told by its pixels; findings are not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from reading_service import film, made_service

from secondread.bundles.bundle import Bundle
from secondread.cohorts.manifest import Manifest
from secondread.cohorts.phantoms.make import make_phantoms
from secondread.fitting.fit import fit
from secondread.images.read import read_image
from secondread.preprocessing.prepared import Prepared
from secondread.recipes.recipe import Recipe
from secondread.service.reading.at_work import at_work
from secondread.service.reading.gate import UNKNOWN, Gate, LogSpread, expected_turned, turned
from secondread.service.settings.bundles import GateSettings


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    folder = tmp_path_factory.mktemp("films")
    return Manifest.read(make_phantoms(folder, seed=3, n_normal=130, n_abnormal=12, size=(32, 32)))


@pytest.fixture(scope="module")
def bundle(films: Manifest, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("bundle")
    recipe = Recipe.from_mapping(
        {
            "preprocessing": {"size": [32, 32]},
            "detector": {"name": "mean-intensity"},
            "cohorts": {"validation": 0.2, "calibration": 0.4},
        }
    )
    return fit(recipe, films, folder / "b", cache=folder / "cache", workers=0, device="cpu", progress=False)


@pytest.fixture(scope="module")
def tested(films: Manifest, bundle: Bundle) -> dict[str, list[Prepared]]:
    found: dict[str, list[Prepared]] = {"normal": [], "abnormal": []}
    for row in films.where("split=test").rows:
        found[row.label] += bundle.prepare([read_image(films.reference(row))])
    return found


@pytest.fixture(scope="module")
def gate(bundle: Bundle) -> Gate:
    return Gate.of(bundle, GateSettings())


def changed(image: Prepared, change: Callable[[np.ndarray], np.ndarray]) -> Prepared:
    return replace(image, pixels=np.ascontiguousarray(change(image.pixels), np.float32))


def refused(gate: Gate, images: list[Prepared], change: Callable[[np.ndarray], np.ndarray]) -> float:
    return float(np.mean([bool(gate.look(changed(image, change)).problem) for image in images]))


@pytest.mark.parametrize("label", ["normal", "abnormal"])
def test_images_of_the_kind_pass_with_and_without_a_finding(
    gate: Gate, tested: dict[str, list[Prepared]], label: str
) -> None:
    assert len(tested[label]) >= 12
    assert refused(gate, tested[label], lambda pixels: pixels) == 0.0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda pixels: np.rot90(pixels, 1, (1, 2)), "turned by a quarter"),
        (lambda pixels: np.rot90(pixels, 3, (1, 2)), "turned by a quarter"),
        (lambda pixels: pixels.min() + pixels.max() - pixels, "black and white are exchanged"),
        (lambda pixels: np.random.default_rng(0).uniform(0, 1, pixels.shape), "too far"),
    ],
)
def test_a_mistake_is_told_in_its_words(
    gate: Gate, tested: dict[str, list[Prepared]], change: Callable[[np.ndarray], np.ndarray], said: str
) -> None:
    assert refused(gate, tested["normal"], change) == 1.0
    assert said in gate.look(changed(tested["normal"][0], change)).problem


def test_what_would_be_undone_is_what_was_done() -> None:
    pixels = np.arange(12, dtype=np.float32).reshape(1, 3, 4)
    ways = turned(pixels)
    assert len(ways) == 3  # no quarter turn on a grid that is not square
    np.testing.assert_array_equal(ways["it is turned by half"], pixels[:, ::-1, ::-1])
    valid = np.ones((3, 4), bool)
    valid[:, 0] = False
    inverted = turned(pixels, valid)["black and white are exchanged"]
    np.testing.assert_array_equal(inverted[0, :, 0], pixels[0, :, 0])
    np.testing.assert_array_equal(inverted[0, :, 1:], 11 - pixels[0, :, 1:])


def test_what_is_expected_of_normals_follows_from_the_thumbnails(bundle: Bundle, fitted: Bundle) -> None:
    assert 0 < expected_turned(bundle) < 1
    assert expected_turned(fitted) == UNKNOWN  # nine calibration normals say nothing


def test_the_distances_of_calibration_normals_are_found_again(bundle: Bundle) -> None:
    spread = LogSpread.of(bundle.baselines["pixel-1nn"].calibration)
    assert spread is not None
    assert spread.place(float(np.exp(spread.median))) == pytest.approx(0.0, abs=1e-3)


def test_a_gate_that_is_off_lets_everything_pass(bundle: Bundle, tested: dict[str, list[Prepared]]) -> None:
    off = Gate.of(bundle, GateSettings(on=False))
    assert refused(off, tested["normal"], lambda pixels: 1 - pixels) == 0.0


def test_a_study_of_another_kind_is_not_read_and_never_scored(bundle: Bundle, tmp_path: Path) -> None:
    service = made_service(tmp_path, [{"name": "chest", "bundle": bundle.path}])
    service.receive(film(tmp_path / "1.dcm", 1))
    with at_work(service.settings) as bundles:
        assert service.scorer(bundles).next() == "not read"
    study = service.study()
    assert (study.state, study.score) == ("not read", None)
    assert study.reason.startswith("chest: it ")
    assert service.readings() == []
    assert [job.state for job in service.jobs()] == ["done"]
