import numpy as np
import pytest
import torch
from in_memory import blobs, fit, score
from sklearn.svm import OneClassSVM as Solver

from secondread.detectors.blocks.encoder_settings import EncoderSettings
from secondread.detectors.blocks.representation import standardisation
from secondread.detectors.contract import Batch
from secondread.detectors.features.one_class_svm import OneClassSVM, OneClassSVMSettings
from secondread.errors import UserError

RANDOM = EncoderSettings(name="resnet18", weights="random")
FORMS = {
    "2-D pixels": ({"of": "pixels", "side": 8}, (16, 16)),
    "3-D pixels": ({"of": "pixels", "side": 4}, (8, 8, 8)),
    "features": ({"of": "features", "encoder": RANDOM}, (32, 32)),
}


def make(form, **changes):
    settings, size = FORMS[form]
    return OneClassSVM(OneClassSVMSettings(**settings, **changes), 1, size), size


def values_of(detector, images):
    return score(detector, images).parts["outside"].values


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("changes", [{}, {"gamma": 0.02, "nu": 0.5, "variance": None}])
def test_the_score_is_minus_the_decision_function_of_scikit_learn(form, changes):
    detector, size = make(form, **changes)
    normals, new = blobs(60, size), torch.cat((blobs(6, size, seed=3), blobs(6, size, seed=4, lesion=True)))
    x, x_new = (detector.represent.of(Batch(images)).double() for images in (normals, new))
    mean, scale = standardisation(x)
    z, z_new = ((rows - mean).numpy() / scale.numpy() for rows in (x, x_new))
    _, singular, directions = np.linalg.svd(z, full_matrices=False)
    share = np.cumsum(singular**2) / np.sum(singular**2)
    rank = int(np.linalg.matrix_rank(z))
    kept = rank if detector.settings.variance is None else int(np.searchsorted(share, 0.95)) + 1
    y, y_new = (rows @ directions[:kept].T for rows in (z, z_new))
    svm = Solver(nu=detector.settings.nu, gamma=detector.settings.gamma).fit(y)
    fit(detector, normals, batch_size=7)
    assert len(detector.support) == len(svm.support_)
    np.testing.assert_allclose(values_of(detector, new), -svm.decision_function(y_new), atol=1e-5)


def test_at_most_a_share_nu_of_the_normals_lies_outside():
    detector, size = make("2-D pixels", nu=0.2)
    normals = blobs(100, size)
    fit(detector, normals)
    outside = (values_of(detector, normals) > 1e-4).float().mean()
    assert 0.05 < float(outside) <= 0.2
    assert len(detector.support) >= 20


def test_a_lesion_raises_the_score():
    detector, size = make("2-D pixels")
    fit(detector, blobs(80, size))
    healthy, ill = (values_of(detector, blobs(8, size, seed=9, lesion=lesion)) for lesion in (False, True))
    assert (ill > healthy).all()


def test_the_normals_that_it_is_fitted_on_are_bounded_and_let_go():
    detector, size = make("2-D pixels", most=20)
    fit(detector, blobs(70, size), batch_size=16)
    assert detector.seen == 70
    assert float(detector.coefficients.sum()) == pytest.approx(0.1 * 20, rel=1e-4)
    assert detector.sample.numel() == 0


def test_normals_that_are_all_alike_are_refused():
    detector, size = make("2-D pixels")
    with pytest.raises(UserError, match="one-class-svm needs normal images that differ, and found 6"):
        fit(detector, blobs(1, size).expand(6, *[-1] * 3))


def test_features_of_volumes_come_from_their_slices():
    detector = OneClassSVM(OneClassSVMSettings(of="features", encoder=RANDOM), 1, (8, 32, 32))
    volumes = blobs(6, (8, 32, 32))
    fit(detector, volumes)
    assert torch.isfinite(score(detector, volumes).parts["outside"].values).all()
