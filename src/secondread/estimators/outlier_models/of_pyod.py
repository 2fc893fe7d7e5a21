"""Outlier models of PyOD, which is an extra (`pyod`)."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from secondread.estimators.outlier_models.model import Arrays, Axes, Judge, OutlierModel, Rows


class HBOS(OutlierModel):
    """Sum over coordinates of -log2 of a histogram's density (M. Goldstein, A. Dengel, KI 2012)."""

    name: Literal["hbos"] = "hbos"
    bins: int = Field(10, ge=2, le=1 << 16)
    alpha: float = Field(0.1, gt=0, lt=1, description="added to every density")
    tolerance: float = Field(
        0.5,
        gt=0,
        lt=1,
        description="share of a bin by which a value outside of all still counts as in it",
    )
    fitted: ClassVar[Axes] = {"hist_": ("b", "d"), "bin_edges_": ("e", "d")}
    package = "PyOD"

    def make(self, seed: int) -> Any:
        from pyod.models.hbos import HBOS as Model

        return Model(n_bins=self.bins, alpha=self.alpha, tol=self.tolerance)

    def judge(self, arrays: Arrays) -> Judge:
        if (len(arrays["hist_"]), len(arrays["bin_edges_"])) != (self.bins, self.bins + 1):
            raise ValueError("the histograms do not have as many bins as the recipe says")
        model, coordinates = self.restored(arrays), arrays["hist_"].shape[1]

        def judged(rows: Rows) -> Rows:
            if rows.shape[1] != coordinates:
                raise ValueError("the histograms are not of the rows' coordinates")
            return model.decision_function(rows)

        return judged


class ECOD(OutlierModel):
    """Sum over coordinates of -log of the empirical tail probability (Z. Li et al., TKDE 2022). PyOD ranks
    the rows that are asked about among the fitted ones and each other."""

    name: Literal["ecod"] = "ecod"
    fitted: ClassVar[Axes] = {"X_train": ("n", "d")}
    package = "PyOD"

    def make(self, seed: int) -> Any:
        from pyod.models.ecod import ECOD as Model

        return Model()

    def fit(self, rows: Rows, seed: int) -> dict[str, NDArray[Any]]:
        return {"X_train": rows}


class COPOD(ECOD):
    """The same by an empirical copula (Z. Li, Y. Zhao, N. Botta, C. Ionescu, X. Hu, ICDM 2020)."""

    name: Literal["copod"] = "copod"  # type: ignore[assignment]

    def make(self, seed: int) -> Any:
        from pyod.models.copod import COPOD as Model

        return Model()


class CBLOF(OutlierModel):
    """Distance to the nearest large cluster (Z. He, X. Xu, S. Deng, Pattern Recognition Letters 2003)."""

    name: Literal["cblof"] = "cblof"
    clusters: int = Field(8, ge=2, le=1 << 16)
    alpha: float = Field(0.9, gt=0.5, lt=1, description="share of the rows that large clusters hold")
    beta: float = Field(5.0, gt=1, le=1e6, description="how many times larger they are than small ones")
    weighted: bool = Field(False, description="by the size of the row's cluster, as in the paper")
    fitted: ClassVar[Axes] = {
        "cluster_centers_": ("k", "d"),
        "cluster_sizes_": ("k",),
        "large_cluster_labels_": ("l",),
    }
    whole = frozenset({"cluster_sizes_", "large_cluster_labels_"})
    package = "PyOD"

    def least(self, coordinates: int) -> tuple[int, str]:
        return self.clusters, "clusters"

    def make(self, seed: int) -> Any:
        from pyod.models.cblof import CBLOF as Model

        sizes = {"alpha": self.alpha, "beta": self.beta, "use_weights": self.weighted}
        return Model(self.clusters, random_state=seed, **sizes)

    def restored(self, arrays: Arrays) -> Any:
        from sklearn.cluster import KMeans

        centres, large = arrays["cluster_centers_"], arrays["large_cluster_labels_"]
        if large.min() < 0 or large.max() >= len(centres):
            raise ValueError("there are large clusters that are none of the clusters")
        model = super().restored(arrays)
        model.small_cluster_labels_ = np.setdiff1d(np.arange(len(centres)), large)
        model._large_cluster_centers = centres[large]
        # fitted on the centres it has them as its own, up to rounding
        model.clustering_estimator_ = KMeans(len(centres), init=centres, n_init=1).fit(centres)
        model.clustering_estimator_.cluster_centers_ = centres
        # of the rows that it was fitted on; PyOD looks whether they are there
        model.decision_scores_ = model.labels_ = model.threshold_ = np.zeros(1)
        return model


class PCA(OutlierModel):
    """As PyOD has it: sum over principal components of a standardised row's distance to the component's unit
    vector, over its share of the variance. M.-L. Shyu, S.-C. Chen, K. Sarinnapakorn, L. Chang (ICDM Workshops
    2003) add up squared projections over eigenvalues."""

    name: Literal["pca"] = "pca"
    variance: float | None = Field(
        0.95, gt=0, lt=1, description="share of it that the components keep; empty = all of them"
    )
    fitted: ClassVar[Axes] = {
        "mean": ("d",),
        "scale": ("d",),
        "components_": ("k", "d"),
        "w_components_": ("k",),
    }
    package = "PyOD"

    def make(self, seed: int) -> Any:
        from pyod.models.pca import PCA as Model

        return Model(n_components=self.variance, svd_solver="full")

    def fit(self, rows: Rows, seed: int) -> dict[str, NDArray[Any]]:
        model = self.make(seed).fit(rows)
        found = (model.scaler_.mean_, model.scaler_.scale_, model.components_, model.w_components_)
        return dict(zip(self.fitted, found, strict=True))

    def restored(self, arrays: Arrays) -> Any:
        from sklearn.preprocessing import StandardScaler

        model = super().restored(arrays)
        model.selected_components_, model.selected_w_components_ = model.components_, model.w_components_
        model.scaler_ = StandardScaler()
        model.scaler_.mean_, model.scaler_.scale_ = arrays["mean"], arrays["scale"]
        return model
