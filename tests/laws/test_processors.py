"""What is promised of a score on another processor, where this one can stand in for it."""

import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from secondread.calibration.calibration import Calibration
from secondread.calibration.raw_scores import concatenate
from secondread.detectors import find
from secondread.scoring.image_source import ArraySource
from secondread.scoring.scorer import Scorer
from secondread.training.loop import train

DETECTORS = ("aeflow", "ae", "padim", "k-nn", "glow-posterior", "spectrum", "density-ratio")
FORMS = {
    "no vectors": {"ATEN_CPU_CAPABILITY": "default", "MKL_CBWR": "COMPATIBLE", "SECONDREAD_NATIVE": "0"},
    "AVX2, two threads": {
        "ATEN_CPU_CAPABILITY": "avx2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "OMP_NUM_THREADS": "2",
        "OMP_WAIT_POLICY": "PASSIVE",  # where all cores are busy, threads that wait would take their time
    },
}


def films(count: int, channels: int, size: tuple[int, ...], seed: int) -> ArraySource:
    """Smooth images in [0, 1], each of its own brightness."""
    rng = np.random.default_rng(seed)
    coarse = torch.from_numpy(rng.random((count, channels, 4, 4), dtype=np.float32))
    smooth = torch.nn.functional.interpolate(coarse, size=size, mode="bilinear").numpy()
    return ArraySource(smooth * rng.uniform(0.5, 1.0, (count, 1, 1, 1)).astype(np.float32))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory):
    """Fitted detectors, and images for their calibration."""
    found = {}
    for name in DETECTORS:
        form = find(name).tiny(2)
        size = tuple(form.size)
        with torch.random.fork_rng():
            torch.manual_seed(0)
            detector = find(name)(form.settings, form.channels, size)
        cohorts = ("normal", "validation", "unlabelled", "abnormal")
        train(
            detector,
            {cohort: films(12, form.channels, size, seed) for seed, cohort in enumerate(cohorts)},
            form.stages, seed=0, directory=tmp_path_factory.mktemp("fit"), device="cpu",
            precision="float32", progress=False,
        )  # fmt: skip
        found[name] = (detector, films(16, form.channels, size, 9))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_on_another_processor_scores_agree_within_the_tolerance_and_p_values_are_the_same(
    form, made, tmp_path: Path
):
    torch.save(made, tmp_path / "made")
    script = Path(__file__).with_name("score_in_process.py")
    call = [sys.executable, str(script), str(tmp_path / "made"), str(tmp_path / "scores")]
    subprocess.run(call, env={**os.environ, **FORMS[form]}, check=True)
    elsewhere = pickle.loads((tmp_path / "scores").read_bytes())
    for name, (detector, source) in made.items():
        here = concatenate(list(Scorer(detector, precision="float32").set(source, maps=False)))
        calibration = Calibration.fit(here, here, mixture=detector.mixture())
        scores, others = calibration.combine(here), calibration.combine(elsewhere[name])
        assert np.abs(scores - others).max() <= calibration.images.tolerance, name
        np.testing.assert_array_equal(
            calibration.p_values(others), calibration.p_values(scores), err_msg=name
        )
        np.testing.assert_array_equal(calibration.flag(others), calibration.flag(scores), err_msg=name)
