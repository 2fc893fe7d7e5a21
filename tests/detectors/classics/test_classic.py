import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from in_memory import blobs, fit, score
from pydantic import ValidationError

from secondread.bundles.tensors import write_tensors
from secondread.detectors.blocks.encoder_settings import EncoderSettings
from secondread.detectors.classics.classic import Classic, ClassicSettings
from secondread.detectors.contract import Batch
from secondread.errors import UserError
from secondread.estimators.outlier_models import MODELS
from secondread.scoring.image_source import ArraySource
from secondread.scoring.scorer import Scorer

RANDOM = EncoderSettings(name="squeezenet1_1", weights="random")
FORMS = {
    "pixels": {"of": "pixels", "side": 6},
    "features": {"of": "features", "encoder": RANDOM},
    "patches": {"of": "patches", "encoder": RANDOM, "strides": (8,), "smoothing": 1.0},
}
FEW = {"lof": {"neighbours": 5}, "cblof": {"alpha": 0.6}, "isolation-forest": {"trees": 10}}
THREE = ("lof", "kde", "isolation-forest")
SIZE = (32, 32)


def make(form, name, size=SIZE, **changes):
    torch.manual_seed(0)
    model = {"name": name, **FEW.get(name, {}), **changes.pop("model", {})}
    return Classic(ClassicSettings(model=model, **FORMS[form] | {"components": 8} | changes), 1, size)


def values_of(detector, images):
    return score(detector, images).parts["outlyingness"].values


@pytest.mark.slow
def test_every_model_scores_alike_in_a_fresh_process_that_gets_arrays_alone(tmp_path):
    """Every model on pixels, and three on pooled features and on patches; nothing is pickled."""
    normals, new = blobs(30, SIZE), torch.cat((blobs(2, SIZE, seed=1), blobs(1, SIZE, seed=2, lesion=True)))
    np.save(tmp_path / "images.npy", new.numpy(), allow_pickle=False)
    expected = {}
    for form in FORMS:
        for name in MODELS if form == "pixels" else THREE:
            detector = make(form, name)
            fit(detector, normals)
            own = tmp_path / f"{name} on {form}"
            own.mkdir()
            declared = write_tensors(own / "model.safetensors", detector.state_dict())
            (own / "file.json").write_text(declared.model_dump_json())
            (own / "settings.json").write_text(json.dumps(detector.settings.model_dump(mode="json")))
            (expected[own],) = Scorer(detector, precision="float32").set(ArraySource(new.numpy()))
    script = Path(__file__).with_name("score_saved.py")
    subprocess.run([sys.executable, script, tmp_path], check=True, timeout=250)
    for own, raw in expected.items():
        found = np.load(own / "scores.npz", allow_pickle=False)
        np.testing.assert_array_equal(found["outlyingness"], raw.parts["outlyingness"], err_msg=own.name)
        assert ("patches" in own.name) == (raw.maps is not None)
        if raw.maps is not None:
            np.testing.assert_array_equal(found["map outlyingness"], raw.maps["outlyingness"])


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", THREE)
def test_a_lesion_raises_the_score(form, name):
    detector = make(form, name)
    fit(detector, blobs(40, SIZE))
    healthy, ill = (values_of(detector, blobs(8, SIZE, seed=9, lesion=lesion)) for lesion in (False, True))
    assert ill.mean() > healthy.mean()


def test_a_map_shows_where_the_lesion_is():
    detector = make("patches", "knn", components=None)
    fit(detector, blobs(40, SIZE))
    shown = score(detector, blobs(6, SIZE, seed=9, lesion=True)).maps["outlyingness"]
    assert shown.shape == (6, 1, *SIZE)
    assert (shown[..., 14:24, 14:24].mean() > shown[..., :8, :8].mean()).item()


def test_coordinates_are_standardised_and_projected_as_said():
    detector = make("pixels", "knn", components=4)
    normals = blobs(30, SIZE)
    fit(detector, normals)
    x = torch.cat(list(detector.rows(Batch(normals)))).double()
    z = (x - x.mean(dim=0)) / detector.scale
    _, _, directions = torch.linalg.svd(z, full_matrices=False)
    found = torch.from_numpy(detector.coordinates(x.float()))
    np.testing.assert_allclose(found.abs(), (z @ directions[:4].T).abs(), atol=1e-6)
    plain = make("pixels", "knn", components=None, standardise=False)
    fit(plain, normals)
    np.testing.assert_array_equal(plain.coordinates(x.float()), x.numpy())


def test_patches_in_padding_are_neither_learnt_nor_judged():
    detector = make("patches", "knn", components=None, patches_of_each=10_000)
    valid = torch.ones(12, 1, *SIZE, dtype=torch.bool)
    valid[..., 16:] = False
    positions = torch.Size(detector.maps.grids[0]).numel()
    with torch.no_grad():
        learnt = detector.rows(Batch(blobs(12, SIZE), valid))
        judged = detector.rows(Batch(blobs(12, SIZE), valid), valid_only=False)
    assert all(0 < len(rows) < positions for rows in learnt)
    assert all(len(rows) == positions for rows in judged)
    fit(detector, blobs(12, SIZE))
    images = blobs(2, SIZE, seed=3)
    spoilt = images.clone()
    spoilt[..., 30:] = 1.0
    whole = score(detector, spoilt).parts["outlyingness"].values
    seen = score(detector, spoilt, valid[:2]).parts["outlyingness"].values
    assert (whole > seen).all()


def test_the_normals_that_it_is_fitted_on_are_bounded_and_let_go():
    detector = make("patches", "knn", components=None, most=25, patches_of_each=3)
    fit(detector, blobs(20, SIZE))
    assert detector.seen == 60
    assert len(detector.fitted_rows) == 25
    assert detector.sample.numel() == 0
    assert detector.notes() == ("knn of scikit-learn is fitted on 25 of 60 patches in 256 coordinates",)


def test_too_few_normals_are_told_with_the_setting_that_would_do():
    with pytest.raises(UserError, match=r"lof needs at least 21 normal .* found 6; set detector\.model\.nei"):
        fit(make("pixels", "lof", model={"neighbours": 20}), blobs(6, SIZE))
    with pytest.raises(UserError, match=r"at least 9 normal .* found 6; set detector\.components lower"):
        fit(make("pixels", "elliptic-envelope", components=4), blobs(6, SIZE))


def test_what_the_library_refuses_and_says_of_the_normals_reaches_the_person():
    detector = make("pixels", "cblof", components=None, model={"clusters": 2, "alpha": 0.99})
    with pytest.raises(UserError, match=r"cblof cannot be .* separation.* are clusters, alpha"):
        fit(detector, blobs(10, SIZE))
    detector = make("pixels", "gmm", model={"components": 3})
    fit(detector, blobs(4, SIZE)[[0, 0, 1, 1]])
    assert any(note.startswith("scikit-learn: ") for note in detector.notes()[1:])


def test_an_encoder_that_learns_is_refused():
    with pytest.raises(ValidationError, match="patches need an encoder with pretrained weights"):
        ClassicSettings(model="lof", of="patches", encoder={"name": "conv"})


def test_volumes_are_taken_too():
    detector = make("patches", "lof", size=(8, 32, 32), components=4)
    volumes = blobs(6, (8, 32, 32))
    fit(detector, volumes)
    found = score(detector, volumes)
    assert found.maps["outlyingness"].shape == (6, 1, 8, 32, 32)
    assert torch.isfinite(found.parts["outlyingness"].values).all()
