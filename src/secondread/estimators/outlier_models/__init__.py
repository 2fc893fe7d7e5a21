"""Outlier models of scikit-learn and PyOD: fitted by them, kept as arrays, and asked through them again.

A model's settings are its class. `fit` gives what its library fitted as plain arrays of declared axes;
`judge` puts them back into an object of the library, in any process, and gives what scores rows. So nothing
of it is pickled, and nothing that the libraries compute is written here a second time. A model whose fitted
state cannot be had as arrays has no class here, and is refused by its name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, SerializeAsAny

from secondread.estimators.outlier_models.model import OutlierModel
from secondread.estimators.outlier_models.of_pyod import CBLOF, COPOD, ECOD, HBOS, PCA
from secondread.estimators.outlier_models.of_scikit_learn import (
    GMM,
    KDE,
    KNN,
    LOF,
    OCSVM,
    EllipticEnvelope,
    IsolationForest,
    KMeans,
)
from secondread.settings.mistakes import validated_by_kind

MODELS: Mapping[str, type[OutlierModel]] = {
    str(kind.model_fields["name"].default): kind
    for kind in (
        LOF, KNN, KMeans, KDE, GMM, IsolationForest, EllipticEnvelope, OCSVM, HBOS, ECOD, COPOD, CBLOF, PCA
    )
}  # fmt: skip


def _model_called(name: str) -> type[OutlierModel]:
    if name not in MODELS:
        raise ValueError(
            f"{name} has no fitted state that a bundle could hold as arrays, and a bundle holds no pickle; "
            f"choose one of {', '.join(MODELS)}"
        )
    return MODELS[name]


def _of_their_kind(given: Any) -> Any:
    return validated_by_kind({"name": given} if isinstance(given, str) else given, _model_called)


AnyOutlierModel = Annotated[SerializeAsAny[OutlierModel], BeforeValidator(_of_their_kind)]
"""Settings of any model, within those of a detector: its name, or a mapping with its name."""
