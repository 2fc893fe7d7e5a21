"""A whole fit and a calibration elsewhere on a machine that is faster in bf16: it moves no part by more than
1 % of its standard deviation, or is not taken."""

from dataclasses import replace

import numpy as np
import pytest
from test_epochs import recipe as trained
from test_fit import fit_here

from secondread.bundles.bundle import Bundle
from secondread.calibration.raw_scores import concatenate
from secondread.cohorts.manifest import Manifest
from secondread.cohorts.phantoms.make import make_phantoms
from secondread.fitting.calibrate import calibrate
from secondread.networks.precision import MOST_DRIFT
from secondread.preprocessing.prepared_set import PreparedSet, prepare_set
from secondread.scoring.precision_drift import drifts

pytestmark = pytest.mark.usefixtures("fast_in_bf16")


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory) -> Manifest:
    """Normals of another site."""
    folder = tmp_path_factory.mktemp("elsewhere")
    films = Manifest.read(make_phantoms(folder, seed=2, n_normal=14, n_abnormal=0, size=(48, 48)))
    others = (replace(row, split="train", patient_id=f"other-{row.patient_id}") for row in films.rows)
    return replace(films, rows=tuple(others))


def moved(bundle: Bundle, images: PreparedSet) -> float:
    """The most by which the bundle's precision moves a part, in standard deviations."""
    own, full = (
        concatenate(list(scorer.set(images, maps=False)))
        for scorer in (bundle.scorer, bundle.scorer_in("float32"))
    )
    apart = (
        np.sqrt(np.mean((own.parts[name] - part) ** 2)) / part.std() for name, part in full.parts.items()
    )
    return max(apart)


@pytest.mark.parametrize("name", ["spectrum", "aeflow"])
def test_a_fit_and_a_calibration_take_bf16_where_it_moves_little(name, recipe, phantoms, elsewhere, tmp_path):
    asked = recipe if name == "spectrum" else trained().model_copy(update={"precision": "auto"})
    bundle = fit_here(asked, phantoms, tmp_path / "bundle")
    there = calibrate(bundle, elsewhere, tmp_path / "there", false_alarm_rate=0.1, workers=0, progress=False)
    images = prepare_set(
        [elsewhere.reference(row) for row in elsewhere.rows], bundle.preprocessing, workers=0
    )
    by_bf16 = max(drifts(bundle.detector, images, device="cpu").values())
    assert there.precision == ("bf16" if by_bf16 <= MOST_DRIFT else "float32")
    told = [note for note in bundle.provenance.training["notes"] if "scoring runs in float32" in note]
    assert bool(told) == (bundle.precision == "float32")
    assert (bundle.precision, there.precision) == (("bf16",) * 2 if name == "spectrum" else ("float32",) * 2)
    assert moved(there, images) <= MOST_DRIFT
    assert moved(bundle, images) <= MOST_DRIFT
