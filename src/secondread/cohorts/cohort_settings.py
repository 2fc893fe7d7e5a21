"""The `cohorts` section of a recipe: the only rule from rows to cohorts."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from secondread.settings.base import Settings


class CohortSettings(Settings):
    """Which rows of a manifest play which part in a fit.

    validation    share of the patients with normal images that is held out for scaling and choosing
    calibration   share of the same patients, others, that is held out for p-values and thresholds
    where         filters on columns, such as `view=PA`
    max_normal    at most this many images in `normal`
    contamination share of `normal`, after all else is drawn, that is replaced by abnormal training images
                  which no other cohort uses: an experiment on what a method bears (see `contamination`)
    anomaly_rate  make `unlabelled` with this share of abnormal images and the labels hidden: from the
                  unlabelled pool, where rows are in one (see `unlabelled`), else from training rows;
                  none = the rows that have no label, and the whole pool
    unlabelled    how many images `unlabelled` holds (at most, where they are as the manifest has them;
                  exactly, where they are made; none there = half of the training normals and the abnormal
                  ones beside; a pool, or a share of 1, needs the number)
    unlabelled_findings  where `unlabelled` is made, its abnormal images are of these findings alone; empty =
                  any (a finding that is left out is unseen in training)
    unlabelled_as `normal`: the images of `unlabelled`, once all cohorts are drawn, join `normal` to be
                  learned from as if they were, beside the `max_normal`; `unlabelled` is then empty (see
                  `taken_for_normal`)
    pool_draw     which images of a pool are taken: `head`, the first of each label's list, as the authors of
                  the DDAD repartition do, or `random`, by seed; without a pool it means nothing
    labelled      how many abnormal images per finding go into `abnormal`, or `all` that are there; the
                  finding `any` draws from all
    fold          split by the column `fold`: this fold is test, the others are train
    auxiliary     images from elsewhere that are neither normal nor abnormal, for detectors that learn from
                  such: a folder, an .npz or a manifest; relative to the recipe's file (see `auxiliary`)
    """

    validation: Annotated[float, Field(ge=0, lt=1)] = 0.1
    calibration: Annotated[float, Field(ge=0, lt=1)] = 0.2
    where: tuple[str, ...] = ()
    max_normal: Annotated[int, Field(ge=1, le=10**9)] | None = None
    contamination: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    anomaly_rate: Annotated[float, Field(ge=0, le=1)] | None = None
    unlabelled: Annotated[int, Field(ge=0, le=10**9)] | None = None
    unlabelled_findings: tuple[str, ...] = ()
    unlabelled_as: Literal["unlabelled", "normal"] = "unlabelled"
    pool_draw: Literal["head", "random"] = "head"
    labelled: dict[str, Annotated[int, Field(ge=0, le=10**9)] | Literal["all"]] = Field(default_factory=dict)
    fold: Annotated[int, Field(ge=0, le=10**9)] | None = None
    auxiliary: Annotated[str, Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _size_of_an_abnormal_cohort(self) -> Self:
        if self.anomaly_rate == 1 and self.unlabelled is None:
            raise ValueError("anomaly_rate 1 takes abnormal images alone: give unlabelled, how many of them")
        return self
