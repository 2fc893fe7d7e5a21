"""Outlier models of scikit-learn."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveFloat

from secondread.estimators.clustering import STARTS
from secondread.estimators.outlier_models.model import Arrays, Axes, Judge, OutlierModel, Rows
from secondread.settings.base import Draws, Width


class LOF(OutlierModel):
    """Local outlier factor (M. M. Breunig, H.-P. Kriegel, R. T. Ng, J. Sander, SIGMOD 2000)."""

    name: Literal["lof"] = "lof"
    neighbours: Draws = 20
    fitted: ClassVar[Axes] = {"_fit_X": ("n", "d"), "_distances_fit_X_": ("n", "k"), "_lrd": ("n",)}

    def least(self, coordinates: int) -> tuple[int, str]:
        return self.neighbours + 1, "neighbours"

    def make(self, seed: int) -> Any:
        from sklearn.neighbors import LocalOutlierFactor

        return LocalOutlierFactor(n_neighbors=self.neighbours, novelty=True, algorithm="brute")

    def restored(self, arrays: Arrays) -> Any:
        from sklearn.neighbors import NearestNeighbors

        if arrays["_distances_fit_X_"].shape[1] != self.neighbours:
            raise ValueError("the distances are not of as many neighbours as the recipe says")
        model, search = self.make(0), NearestNeighbors(algorithm="brute").fit(arrays["_fit_X"])
        # the search's own attributes have the same names in both
        vars(model).update({k: v for k, v in vars(search).items() if k not in search.get_params()})
        vars(model).update(arrays, n_neighbors_=self.neighbours, offset_=-1.5)
        return model


class KNN(OutlierModel):
    """Mean distance to the k nearest rows, or that to the k-th (S. Ramaswamy, R. Rastogi, K. Shim, SIGMOD
    2000)."""

    name: Literal["knn"] = "knn"
    neighbours: Draws = 5
    distance: Literal["mean", "kth"] = "mean"
    fitted: ClassVar[Axes] = {"rows": ("n", "d")}

    def least(self, coordinates: int) -> tuple[int, str]:
        return self.neighbours, "neighbours"

    def fit(self, rows: Rows, seed: int) -> dict[str, NDArray[Any]]:
        return {"rows": rows}

    def judge(self, arrays: Arrays) -> Judge:
        from sklearn.neighbors import NearestNeighbors

        search = NearestNeighbors(n_neighbors=self.neighbours).fit(arrays["rows"])
        if self.distance == "kth":
            return lambda rows: search.kneighbors(rows)[0][:, -1]
        return lambda rows: search.kneighbors(rows)[0].mean(axis=1)


class KMeans(OutlierModel):
    """Distance to the nearest centre of k-means (S. Lloyd, IEEE Trans. Inf. Theory 1982)."""

    name: Literal["k-means"] = "k-means"
    centres: Width = 10
    fitted: ClassVar[Axes] = {"cluster_centers_": ("k", "d")}

    def least(self, coordinates: int) -> tuple[int, str]:
        return self.centres, "centres"

    def make(self, seed: int) -> Any:
        from sklearn.cluster import KMeans as Clusters

        return Clusters(self.centres, n_init=STARTS, random_state=seed)

    def judge(self, arrays: Arrays) -> Judge:
        from sklearn.metrics import pairwise_distances

        return lambda rows: pairwise_distances(rows, arrays["cluster_centers_"]).min(axis=1)


class KDE(OutlierModel):
    """-log density of Gaussian kernels at the rows, in nats (E. Parzen, Ann. Math. Statist. 1962).

    All rows lie in one leaf of the library's tree, so that it adds them up one by one: the bounds by which it
    would leave leaves out round by hundreds of nats where rows are many bandwidths away, as they are in many
    coordinates.
    """

    name: Literal["kde"] = "kde"
    bandwidth: Literal["scott", "silverman"] | PositiveFloat = Field(
        "scott", description="of the kernels: a rule from the number of rows and coordinates, or a number"
    )
    fitted: ClassVar[Axes] = {"rows": ("n", "d")}

    def fit(self, rows: Rows, seed: int) -> dict[str, NDArray[Any]]:
        return {"rows": rows}

    def restored(self, arrays: Arrays) -> Any:
        from sklearn.neighbors import KernelDensity

        return KernelDensity(bandwidth=self.bandwidth, leaf_size=len(arrays["rows"])).fit(arrays["rows"])


class GMM(OutlierModel):
    """-log density of a Gaussian mixture found by expectation maximisation, in nats."""

    name: Literal["gmm"] = "gmm"
    components: Width = 2
    covariance: Literal["full", "tied", "diag", "spherical"] = "full"
    regularisation: PositiveFloat = Field(1e-6, description="added to every variance")

    def axes(self) -> Axes:
        factors = {"full": ("k", "d", "d"), "tied": ("d", "d"), "diag": ("k", "d"), "spherical": ("k",)}
        return {
            "weights_": ("k",),
            "means_": ("k", "d"),
            "precisions_cholesky_": factors[self.covariance],
        }

    def least(self, coordinates: int) -> tuple[int, str]:
        return max(2, self.components), "components"

    def make(self, seed: int) -> Any:
        from sklearn.mixture import GaussianMixture

        kind, added = self.covariance, self.regularisation
        return GaussianMixture(self.components, covariance_type=kind, reg_covar=added, random_state=seed)


class IsolationForest(OutlierModel):
    """How few random cuts set a row apart, from 0 to 1 (F. T. Liu, K. M. Ting, Z.-H. Zhou, ICDM 2008).

    Its trees are kept node after node: `depth` is what a row that ends in the node gets, its own and the mean
    of what would lie below it.
    """

    name: Literal["isolation-forest"] = "isolation-forest"
    trees: Draws = 100
    rows: Annotated[int, Field(ge=2, le=1 << 16)] = Field(256, description="drawn for each tree, at most")
    fitted: ClassVar[Axes] = {
        "nodes": ("trees",),
        "left": ("m",),
        "right": ("m",),
        "feature": ("m",),
        "threshold": ("m",),
        "depth": ("m",),
        "drawn": (),
    }
    whole = frozenset({"nodes", "left", "right", "feature", "drawn"})

    def make(self, seed: int) -> Any:
        from sklearn.ensemble import IsolationForest as Forest

        return Forest(n_estimators=self.trees, max_samples=self.rows, random_state=seed)

    def fit(self, rows: Rows, seed: int) -> dict[str, NDArray[Any]]:
        model = self.make(seed).set_params(max_samples=min(self.rows, len(rows))).fit(rows)
        trees = [tree.tree_ for tree in model.estimators_]
        paths = zip(model._decision_path_lengths, model._average_path_length_per_tree, strict=True)
        return {
            "nodes": np.array([tree.node_count for tree in trees]),
            "left": np.concatenate([tree.children_left for tree in trees]),
            "right": np.concatenate([tree.children_right for tree in trees]),
            "feature": np.concatenate([tree.feature for tree in trees]),
            "threshold": np.concatenate([tree.threshold for tree in trees]),
            "depth": np.concatenate([own + below for own, below in paths]),
            "drawn": np.array(model.max_samples_),
        }

    def restored(self, arrays: Arrays) -> Any:
        from sklearn.tree import ExtraTreeRegressor
        from sklearn.tree._tree import NODE_DTYPE, Tree

        ends, feature = np.cumsum(arrays["nodes"]), arrays["feature"]
        if (arrays["nodes"] < 1).any() or ends[-1] != len(feature):
            raise ValueError("the forest's trees do not have as many nodes as there are")
        coordinates = int(feature.max()) + 1 if (feature >= 0).any() else 1
        model = self.make(0)
        model.estimators_ = []
        for at in np.split(np.arange(len(feature)), ends[:-1]):
            nodes = np.zeros(len(at), NODE_DTYPE)
            nodes["left_child"], nodes["right_child"] = arrays["left"][at], arrays["right"][at]
            nodes["feature"], nodes["threshold"] = feature[at], arrays["threshold"][at]
            _refuse_loops(nodes)
            tree = ExtraTreeRegressor()
            tree.tree_ = Tree(coordinates, np.ones(1, np.intp), 1)
            values = np.zeros((len(at), 1, 1))
            state = {"max_depth": 0, "node_count": len(at), "nodes": nodes, "values": values}
            tree.tree_.__setstate__(state)
            model.estimators_.append(tree)
        model.estimators_features_ = [np.arange(coordinates)] * len(ends)
        model._decision_path_lengths = np.split(arrays["depth"], ends[:-1])
        model._average_path_length_per_tree = [np.zeros_like(own) for own in model._decision_path_lengths]
        model._max_samples, model.offset_ = int(arrays["drawn"]), -0.5
        return model

    def judge(self, arrays: Arrays) -> Judge:
        model = self.restored(arrays)

        def judged(rows: Rows) -> Rows:
            if rows.shape[1] < len(model.estimators_features_[0]):
                raise ValueError("the forest cuts coordinates that rows do not have")
            model._max_features = model.n_features_in_ = rows.shape[1]
            return -model.score_samples(rows)

        return judged


class EllipticEnvelope(OutlierModel):
    """Squared Mahalanobis distance by the minimum covariance determinant (P. J. Rousseeuw, K. Van Driessen,
    Technometrics 1999)."""

    name: Literal["elliptic-envelope"] = "elliptic-envelope"
    support: float | None = Field(
        None, gt=0, le=1, description="share of the rows that it is of; empty = (n + d + 1) / 2n"
    )
    fitted: ClassVar[Axes] = {"location_": ("d",), "precision_": ("d", "d")}

    def least(self, coordinates: int) -> tuple[int, str]:
        return 2 * coordinates + 1, "components"

    def make(self, seed: int) -> Any:
        from sklearn.covariance import EllipticEnvelope as Envelope

        return Envelope(support_fraction=self.support, random_state=seed)

    def judge(self, arrays: Arrays) -> Judge:
        return self.restored(arrays).mahalanobis


class OCSVM(OutlierModel):
    """Minus the decision function of a one-class SVM with a Gaussian kernel (B. Schölkopf et al., Neural
    Computation 2001)."""

    name: Literal["ocsvm"] = "ocsvm"
    nu: float = Field(0.1, gt=0, le=1, description="bounds the share of rows outside from above")
    gamma: Literal["scale"] | PositiveFloat = Field(
        "scale", description="of the kernel; scale = 1 / (coordinates · variance)"
    )
    fitted: ClassVar[Axes] = {
        "support_vectors_": ("m", "d"),
        "dual_coef_": ("1", "m"),
        "intercept_": ("1",),
        "_gamma": (),
    }

    def make(self, seed: int) -> Any:
        from sklearn.svm import OneClassSVM

        return OneClassSVM(nu=self.nu, gamma=self.gamma)

    def judge(self, arrays: Arrays) -> Judge:
        from sklearn.metrics.pairwise import rbf_kernel

        support, weights, offset, gamma = (arrays[name] for name in self.fitted)
        return lambda rows: -(rbf_kernel(rows, support, float(gamma)) @ weights[0] + offset[0])


def _refuse_loops(nodes: NDArray[Any]) -> None:
    """ValueError for nodes through which a compiled walk would not end, or would leave its arrays: children
    come after their parent and before the end."""
    leaf = (nodes["left_child"] == -1) & (nodes["right_child"] == -1)
    parents = np.arange(len(nodes))[~leaf]
    for children in (nodes["left_child"][~leaf], nodes["right_child"][~leaf]):
        if (children <= parents).any() or (children >= len(nodes)).any():
            raise ValueError("the forest has nodes that lead nowhere")
    if (nodes["feature"][~leaf] < 0).any():
        raise ValueError("the forest has nodes that cut no coordinate")
