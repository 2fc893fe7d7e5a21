"""Each model scores as its library does after its arrays alone have gone through a file."""

import numpy as np
import pytest
from pydantic import ValidationError
from safetensors.numpy import load, save

from secondread.errors import UserError
from secondread.estimators.outlier_models import MODELS, AnyOutlierModel
from secondread.settings.base import Settings

SEED = 3


def rows(n, seed, spread=1.0):
    generator = np.random.default_rng(seed)
    return spread * generator.normal(size=(n, 5)) @ np.diag([3, 2, 1, 1, 0.5]) + generator.integers(
        0, 2, (n, 1)
    )


NORMALS, NEW = rows(120, 0), rows(9, 1, spread=2)


def by_scikit_learn(name):
    from sklearn.cluster import KMeans
    from sklearn.covariance import EllipticEnvelope
    from sklearn.ensemble import IsolationForest
    from sklearn.mixture import GaussianMixture
    from sklearn.neighbors import LocalOutlierFactor
    from sklearn.svm import OneClassSVM

    fitted = {
        "lof": lambda: LocalOutlierFactor(n_neighbors=20, novelty=True),
        "gmm": lambda: GaussianMixture(2, random_state=SEED),
        "isolation-forest": lambda: IsolationForest(random_state=SEED),
        "elliptic-envelope": lambda: EllipticEnvelope(random_state=SEED),
        "ocsvm": lambda: OneClassSVM(nu=0.1),
        "k-means": lambda: KMeans(10, n_init=10, random_state=SEED),
    }[name]().fit(NORMALS)
    if name == "k-means":
        return fitted.transform(NEW).min(axis=1)
    return -(fitted.decision_function(NEW) if name == "ocsvm" else fitted.score_samples(NEW))


def by_pyod(name):
    from pyod.models.cblof import CBLOF
    from pyod.models.copod import COPOD
    from pyod.models.ecod import ECOD
    from pyod.models.hbos import HBOS
    from pyod.models.knn import KNN
    from pyod.models.pca import PCA

    return (
        {
            "knn": lambda: KNN(method="mean"),
            "hbos": HBOS,
            "ecod": ECOD,
            "copod": COPOD,
            "cblof": lambda: CBLOF(random_state=SEED),
            "pca": lambda: PCA(n_components=0.95, svd_solver="full"),
        }[name]()
        .fit(NORMALS)
        .decision_function(NEW)
    )


def by_hand(name):
    """-log of the mean of Gaussian kernels, added up one by one."""
    width = len(NORMALS) ** (-1 / (NORMALS.shape[1] + 4))
    squares = np.square(NEW[:, None] - NORMALS).sum(axis=2) / width**2
    constant = 0.5 * NORMALS.shape[1] * np.log(2 * np.pi * width**2)
    return constant - np.log(np.exp(-squares / 2).mean(axis=1))


REFERENCES = {
    **dict.fromkeys(
        ("lof", "gmm", "isolation-forest", "elliptic-envelope", "ocsvm", "k-means"), by_scikit_learn
    ),
    **dict.fromkeys(("knn", "hbos", "ecod", "copod", "cblof", "pca"), by_pyod),
    "kde": by_hand,
}


def made(name, **settings):
    return MODELS[name].model_validate({"name": name, **settings})


def arrays_of(kind, normals=NORMALS):
    found = kind.fit(normals, SEED)
    return load(save({name: np.array(values, order="C") for name, values in found.items()}))


@pytest.mark.parametrize(
    ("name", "compiled"),
    [
        *(pytest.param(name, False, id=name) for name in MODELS),
        *(
            pytest.param(name, True, id=f"{name}-compiled", marks=pytest.mark.slow)
            for name in ("hbos", "cblof")
        ),
    ],
)
def test_it_scores_as_its_library_does(name, compiled, request):
    if not compiled:
        request.getfixturevalue("uncompiled")
    kind = made(name)
    arrays = arrays_of(kind)
    assert {key: values.ndim for key, values in arrays.items()} == {
        key: len(axes) for key, axes in kind.axes().items()
    }
    assert {key for key, values in arrays.items() if values.dtype == np.int64} == kind.whole
    np.testing.assert_allclose(kind.judge(arrays)(NEW), REFERENCES[name](name), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("covariance", ["tied", "diag", "spherical"])
def test_a_mixture_with_other_covariances_keeps_them(covariance):
    from sklearn.mixture import GaussianMixture

    kind = made("gmm", components=3, covariance=covariance)
    reference = GaussianMixture(3, covariance_type=covariance, random_state=SEED).fit(NORMALS)
    np.testing.assert_allclose(kind.judge(arrays_of(kind))(NEW), -reference.score_samples(NEW), rtol=1e-12)


@pytest.mark.usefixtures("uncompiled")
def test_the_distance_to_the_last_neighbour_alone_and_clusters_by_weight_are_the_librarys_too():
    from pyod.models.cblof import CBLOF
    from pyod.models.knn import KNN

    farthest, weighted = made("knn", distance="kth", neighbours=3), made("cblof", weighted=True)
    reference = KNN(n_neighbors=3).fit(NORMALS)
    found = farthest.judge(arrays_of(farthest))(NEW)
    np.testing.assert_allclose(found, reference.decision_function(NEW), rtol=1e-12)
    reference = CBLOF(use_weights=True, random_state=SEED).fit(NORMALS)
    found = weighted.judge(arrays_of(weighted))(NEW)
    np.testing.assert_allclose(found, reference.decision_function(NEW), rtol=1e-12)


def test_a_density_in_many_coordinates_is_that_of_its_kernels_and_not_the_bound_of_a_tree():
    generator = np.random.default_rng(5)
    normals, new = generator.normal(size=(200, 150)), 1.5 * generator.normal(size=(6, 150))
    squares = np.square(new[:, None] - normals).sum(axis=2) / 0.5**2
    nearest = squares.min(axis=1)
    log_sum = np.log(np.exp(-(squares - nearest[:, None]) / 2).sum(axis=1)) - nearest / 2
    expected = np.log(200) + 75 * np.log(2 * np.pi * 0.5**2) - log_sum
    kind = made("kde", bandwidth=0.5)
    np.testing.assert_allclose(kind.judge(arrays_of(kind, normals))(new), expected, rtol=1e-12)


FOREST_FAULTS = {
    "lead nowhere": lambda arrays: arrays["left"].__setitem__(0, 10_000),
    "lead nowhere ": lambda arrays: arrays["right"].__setitem__(0, 0),
    "cut no coordinate": lambda arrays: arrays["feature"].__setitem__(0, -7),
    "as many nodes": lambda arrays: arrays["nodes"].__setitem__(0, 1),
    "that rows do not have": lambda arrays: arrays["feature"].__setitem__(0, 99),
}


@pytest.mark.parametrize("told", FOREST_FAULTS)
def test_trees_that_would_be_walked_out_of_are_refused(told):
    kind = made("isolation-forest", trees=3)
    arrays = {name: values.copy() for name, values in arrays_of(kind).items()}
    FOREST_FAULTS[told](arrays)
    with pytest.raises(ValueError, match=told.strip()):
        kind.judge(arrays)(NEW)


@pytest.mark.usefixtures("uncompiled")
@pytest.mark.parametrize(
    ("name", "fault", "told"),
    [
        ("lof", {"_distances_fit_X_": np.zeros((120, 2))}, "as many neighbours as the recipe"),
        ("hbos", {"bin_edges_": np.zeros((4, 5))}, "as many bins as the recipe"),
        ("hbos", {"hist_": np.zeros((10, 2))}, "not of the rows' coordinates"),
        ("cblof", {"large_cluster_labels_": np.array([8])}, "none of the clusters"),
    ],
)
def test_arrays_that_do_not_fit_together_are_refused(name, fault, told):
    kind = made(name)
    with pytest.raises(ValueError, match=told):
        kind.judge({**arrays_of(kind), **fault})(NEW)


class Chooses(Settings):
    model: AnyOutlierModel


def test_a_model_is_named_alone_or_with_its_settings():
    assert Chooses(model="lof").model == made("lof")
    assert Chooses(model={"name": "lof", "neighbours": 5}).model == made("lof", neighbours=5)


def test_a_model_whose_state_is_not_to_be_had_as_arrays_is_refused_by_its_name():
    with pytest.raises(ValidationError, match="inne has no fitted state that a bundle could hold as arrays"):
        Chooses(model="inne")


def test_a_model_of_a_library_that_is_not_installed_says_what_to_install(monkeypatch):
    monkeypatch.setattr("secondread.estimators.outlier_models.model.find_spec", lambda name: None)
    made("lof").refuse_absent()
    with pytest.raises(UserError, match=r"hbos is PyOD's, which is not installed: pip install .*\[pyod\]"):
        made("hbos").refuse_absent()
