"""Unlabelled images that are taken for normal: how a method that learns from normals alone uses them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from secondread.cohorts.cohort_settings import CohortSettings
from secondread.cohorts.row import Row
from secondread.errors import UserError


def taken_for_normal(unlabelled: Sequence[Row], settings: CohortSettings, name: str) -> list[Row]:
    """The unlabelled images that join `normal`, as rows that nothing tells from a normal one; none unless
    `cohorts.unlabelled_as` is normal.

    They are learned from alone: they never join the held-out cohorts, and none is of a held-out patient, as
    no unlabelled image is. Raises UserError where there are none to take.

    Source of such rows in tables: Y. Cai, H. Chen, X. Yang, Y. Zhou, K.-T. Cheng, Dual-distribution
    discrepancy with self-supervised refinement for anomaly detection in medical images, Medical Image
    Analysis 2023, where one-class methods also learn from the unlabelled images.
    """
    if settings.unlabelled_as != "normal":
        return []
    if not unlabelled:
        raise UserError(
            f"{name}: cohorts.unlabelled_as is normal, and there are no unlabelled images; leave it out, "
            "give training rows without a label, or make some with cohorts.anomaly_rate"
        )
    return [replace(row, label="normal", finding="", mask="") for row in unlabelled]
