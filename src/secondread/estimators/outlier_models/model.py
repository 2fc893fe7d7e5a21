"""What an outlier model of a library is here: its settings, its fitted arrays, and what scores by them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from secondread.errors import UserError
from secondread.settings.base import Settings
from secondread.wording.extras import install_command

Rows = NDArray[np.float64]
"""`[n, d]`."""
Arrays = Mapping[str, NDArray[Any]]
Axes = Mapping[str, tuple[str, ...]]
Judge = Callable[[Rows], Rows]
"""Scores `[n]` of rows, higher = more abnormal."""


class OutlierModel(Settings):
    """What one model may be told, and how it is fitted and asked. As it stands here: by an object of the
    library whose attributes of these names are the fitted state.

    fitted   the arrays, float64, and what each axis is called: of one length wherever it is called the same;
             `d` are the rows' coordinates
    whole    which of them are int64
    library  that fits it and scores
    """

    name: str
    fitted: ClassVar[Axes] = {}
    whole: ClassVar[frozenset[str]] = frozenset()
    package: ClassVar[Literal["scikit-learn", "PyOD"]] = "scikit-learn"

    def axes(self) -> Axes:
        """`fitted`, where settings change it."""
        return self.fitted

    def least(self, coordinates: int) -> tuple[int, str]:
        """How many rows it needs, and which setting would do with fewer."""
        return 2, ""

    def make(self, seed: int) -> Any:
        """The library's object, not fitted."""
        raise NotImplementedError

    def fit(self, rows: Rows, seed: int) -> dict[str, NDArray[Any]]:
        """ValueError where the library refuses the rows."""
        model = self.make(seed).fit(rows)
        return {name: getattr(model, name) for name in self.axes()}

    def restored(self, arrays: Arrays) -> Any:
        """The library's object as it was when it was fitted, as far as it is asked. ValueError for arrays
        that do not fit together: they may be a stranger's, and the libraries' compiled loops trust them."""
        model = self.make(0)
        for name, values in arrays.items():
            setattr(model, name, values)
        return model

    def judge(self, arrays: Arrays) -> Judge:
        """What `restored` makes of rows, with higher = more abnormal."""
        model = self.restored(arrays)
        return model.decision_function if self.package == "PyOD" else lambda rows: -model.score_samples(rows)

    def refuse_absent(self) -> None:
        """UserError where its library is not installed."""
        if self.package == "PyOD" and find_spec("pyod") is None:
            raise UserError(
                f"the outlier model {self.name} is PyOD's, which is not installed: {install_command('pyod')}"
            )
