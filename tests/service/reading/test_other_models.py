"""A series is read as a volume, and by a bundle that has left torch."""

from __future__ import annotations

from pathlib import Path

import pytest
from made_study import slices, write_series
from reading_service import STUDY, Service, film, service_of

from secondread.bundles.bundle import Bundle
from secondread.bundles.fitted_model import FittedModel
from secondread.cohorts.phantoms.make import make_phantoms
from secondread.fitting.fit import fit
from secondread.readings.score import score
from secondread.recipes.recipe import Recipe
from secondread.service.reading.at_work import at_work


def read(folder: Path, model: FittedModel, files: list[Path]) -> Service:
    service = service_of(folder, model)
    service.receive(*files)
    with at_work(service.settings) as bundles:
        assert service.scorer(bundles).next() == "read"
    return service


def test_a_series_is_one_volume_and_scores_as_its_folder(tmp_path: Path) -> None:
    pytest.importorskip("nibabel")
    heads = make_phantoms(tmp_path / "heads", seed=2, rank=3, n_normal=16, n_abnormal=2, size=(16, 16, 16))
    recipe = Recipe.from_mapping(
        {
            "preprocessing": {"size": [16, 16, 16]},
            "detector": {"name": "spectrum", "bands": 4},
            "cohorts": {"validation": 0.2, "calibration": 0.3},
        }
    )
    bundle = fit(recipe, heads, tmp_path / "b", cache=tmp_path / "cache", workers=0, progress=False)
    place = slices("oblique")
    write_series(tmp_path / "series", place, place.origins[3], StudyInstanceUID=STUDY)
    (expected,) = score(bundle, str(tmp_path / "series"), workers=0).rows
    service = read(tmp_path, bundle, sorted((tmp_path / "series").iterdir()))
    (reading,) = service.readings()
    (image,) = reading.images
    assert (reading.score, image["p_value"], image["instances"]) == (expected.score, expected.p_value, 7)
    assert image["parts"] == dict(expected.parts)
    assert [Path(result.path).name for result in service.results()] == ["report.dcm"]


def test_an_exported_bundle_reads_as_it_does_on_files(fitted: Bundle, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    from secondread.exporting.export import export
    from secondread.exporting.load import load_model

    assert fitted.path is not None
    export(fitted.path, tmp_path / "exported")
    exported = load_model(tmp_path / "exported")
    path = film(tmp_path / "1.dcm", 1)
    (expected,) = score(exported, str(path), workers=0).rows
    (reading,) = read(tmp_path, exported, [path]).readings()
    assert (reading.score, reading.p_value, reading.flagged) == (
        expected.score, expected.p_value, expected.flagged,
    )  # fmt: skip
    assert reading.bundle_digest == exported.digest
