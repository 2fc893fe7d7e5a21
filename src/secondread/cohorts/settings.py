"""The `cohorts` section of a recipe: the only rule from rows to cohorts."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from secondread.settings import Settings


class CohortSettings(Settings):
    """Which rows of a manifest play which part in a fit.

    validation    share of the patients with normal images that is held out for scaling and choosing
    calibration   share of the same patients, others, that is held out for p-values and thresholds
    where         filters on columns, such as `view=PA`
    max_normal    at most this many images in `normal`
    anomaly_rate  make `unlabelled` from labelled training rows, with this share of abnormal ones and the
                  labels hidden; none = the rows that have no label
    unlabelled    how many images `unlabelled` holds (at most, where they have no label; exactly, where
                  they are made; none there = half of the training normals and the abnormal ones beside)
    labelled      how many abnormal images per finding go into `abnormal`; the finding `any` draws from all
    fold          split by the column `fold`: this fold is test, the others are train
    """

    validation: Annotated[float, Field(ge=0, lt=1)] = 0.1
    calibration: Annotated[float, Field(ge=0, lt=1)] = 0.2
    where: tuple[str, ...] = ()
    max_normal: Annotated[int, Field(ge=1)] | None = None
    anomaly_rate: Annotated[float, Field(ge=0, lt=1)] | None = None
    unlabelled: Annotated[int, Field(ge=0)] | None = None
    labelled: dict[str, Annotated[int, Field(ge=0)]] = Field(default_factory=dict)
    fold: Annotated[int, Field(ge=0)] | None = None
