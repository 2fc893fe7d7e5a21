"""What a caller has set in torch changes neither a fit nor a score."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pytest
import torch

from secondread.bundles.bundle import Bundle
from secondread.cohorts.manifest import Manifest
from secondread.detectors import find
from secondread.fitting.fit import fit
from secondread.images.read import read_image
from secondread.scoring.own_modes import own_modes
from secondread.scoring.scorer import Scorer

Mode = Callable[[], AbstractContextManager[object]]
MODES: list[Mode] = [
    torch.inference_mode,
    torch.no_grad,
    lambda: torch.autocast("cpu", torch.bfloat16),
]
NAMES = ["inference_mode", "no_grad", "autocast"]


def asked(bundle: Bundle, phantoms: Manifest) -> np.ndarray:
    films = [read_image(phantoms.reference(row)) for row in phantoms.where("split=test").rows[:2]]
    return bundle.judge_images(films).scores


@pytest.mark.parametrize("mode", MODES, ids=NAMES)
def test_a_bundle_is_loaded_and_asked_in_any(mapping_bundle: Bundle, phantoms: Manifest, mode: Mode) -> None:
    with mode():
        found = asked(Bundle.load(str(mapping_bundle.path)), phantoms)
    np.testing.assert_array_equal(found, asked(mapping_bundle, phantoms))


def test_a_detector_that_needs_gradients_has_them_in_inference_mode() -> None:
    kind = find("vae")
    form = kind.tiny(2)
    settings = form.settings.model_copy(update={"maps": ("restoration",)})
    detector = kind(settings, form.channels, form.size)
    assert detector.gradients_at_scoring
    images = np.full((1, form.channels, *form.size), 0.5, np.float32)
    with torch.inference_mode():
        found = Scorer(detector, precision="float32").batch(images, None, ["0" * 64])
    assert found.finite.all()


@pytest.mark.parametrize(
    "mode",
    [
        pytest.param(mode, id=name, marks=[pytest.mark.slow] * (name == "no_grad"))
        for mode, name in zip(MODES, NAMES, strict=True)
    ],
)
def test_a_fit_learns_in_any_what_it_learns_in_none(
    mapping_bundle: Bundle, phantoms: Manifest, tmp_path: Path, mode: Mode
) -> None:
    with mode():
        found = fit(mapping_bundle.recipe, phantoms, tmp_path / "bundle", workers=0, progress=False)
    np.testing.assert_array_equal(asked(found, phantoms), asked(mapping_bundle, phantoms))


def test_a_training_step_in_bf16_sees_the_weights_of_the_last_in_any() -> None:
    layer = torch.nn.Linear(4, 4)
    x = torch.ones(1, 4)
    with torch.autocast("cpu", torch.bfloat16), own_modes():
        for _ in range(2):
            with torch.autocast("cpu", torch.bfloat16):
                found = layer(x)
            assert found.dtype == torch.bfloat16
            torch.testing.assert_close(found.float(), layer(x), atol=0.02, rtol=0.02)
            with torch.no_grad():
                layer.weight.add_(1.0)
    assert torch.is_autocast_cache_enabled()
