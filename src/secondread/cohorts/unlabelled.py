"""An unlabelled cohort made from rows whose labels are known: from training rows, or from a pool.

A row of split `train` whose column `pool` says `unlabelled` is in the pool: it may only ever be unlabelled.
Its column `pool_order` is its position in its label's list, from 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from secondread.cohorts.cohort_settings import CohortSettings
from secondread.cohorts.row import Row
from secondread.errors import UserError

POOL, POOL_ORDER = "pool", "pool_order"
UNLABELLED = "unlabelled"
_SPELLINGS = (UNLABELLED, "unlabeled")


def in_pool(row: Row) -> bool:
    """Whether the row is in the unlabelled pool."""
    return row.split == "train" and row.value(POOL).strip().lower() in _SPELLINGS


def may_be_unlabelled(row: Row, settings: CohortSettings) -> bool:
    """Whether a made unlabelled cohort may hold the row: a normal one, or one of the asked findings."""
    wanted = settings.unlabelled_findings
    return row.label != "abnormal" or not wanted or not set(wanted).isdisjoint(row.findings)


def with_labels_hidden(rows: Iterable[Row]) -> list[Row]:
    return [replace(row, label="", finding="", mask="") for row in rows]


def mixture_of_training_rows(
    normal: Sequence[Row], abnormal: Sequence[Row], settings: CohortSettings, seed: int, name: str
) -> tuple[list[Row], list[Row]]:
    """The normals that stay, and a mixture with the asked share of abnormal images, shuffled.

    Raises UserError where there are too few images.
    """
    rate = settings.anomaly_rate or 0.0
    if settings.unlabelled is not None:
        n_abnormal = round(rate * settings.unlabelled)
        n_normal = settings.unlabelled - n_abnormal
    else:
        n_normal = len(normal) // 2
        n_abnormal = round(n_normal * rate / (1 - rate))
    if n_normal >= len(normal) or n_abnormal > len(abnormal):
        raise UserError(
            f"{name}: an unlabelled cohort at anomaly rate {rate:g} needs {n_normal} normal and {n_abnormal} "
            f"abnormal training images, but {len(normal)} and {len(abnormal)} are there (and normals must be "
            "left); lower cohorts.unlabelled or cohorts.anomaly_rate"
        )
    moved = shuffled(normal, seed, 2)[:n_normal]
    moved_paths = {row.path for row in moved}
    mixture = moved + shuffled(abnormal, seed, 3)[:n_abnormal]
    return [row for row in normal if row.path not in moved_paths], shuffled(mixture, seed, 4)


def mixture_of_pool(
    pool: Sequence[Row], settings: CohortSettings, seed: int, name: str
) -> tuple[list[Row], list[str]]:
    """Of the pool floor(n·r) abnormal images and n − floor(n·r) normal ones, shuffled, and notes.

    n is `cohorts.unlabelled` and r `cohorts.anomaly_rate`. The authors of the DDAD repartition give n as a
    number of its own (4,000 for RSNA, where the pool holds 9,012 images), so it has no default here. The
    floor is taken of the floating-point product, as theirs is. With `pool_draw: head` the images are the
    first of each label's list, so that a smaller share uses images that a larger one has too; with `random`
    the seed chooses.

    Raises UserError where n is not given, the pool has too few images, or `head` finds no positions.
    """
    rate, total = settings.anomaly_rate or 0.0, settings.unlabelled
    if total is None:
        raise UserError(
            f"{name}: cohorts.anomaly_rate of an unlabelled pool needs cohorts.unlabelled, how many images "
            "to take (the published repartition takes 4000 of RSNA's)"
        )
    n_abnormal = int(total * rate)
    counts = {"normal": total - n_abnormal, "abnormal": n_abnormal}
    lists = {label: [row for row in pool if row.label == label] for label in counts}
    if any(counts[label] > len(lists[label]) for label in counts):
        raise UserError(
            f"{name}: {total} unlabelled images at anomaly rate {rate:g} need {counts['normal']} normal and "
            f"{counts['abnormal']} abnormal ones, but {len(lists['normal'])} and {len(lists['abnormal'])} "
            "are in the pool; change cohorts.unlabelled or cohorts.anomaly_rate"
        )
    mixture: list[Row] = []
    notes: list[str] = []
    for purpose, (label, count) in enumerate(counts.items(), start=2):
        if settings.pool_draw == "random":
            mixture += shuffled(lists[label], seed, purpose)[:count]
            continue
        head = sorted(lists[label], key=lambda row: (_position(row, name), row.path))[:count]
        if missing := count - sum(_position(row, name) < count for row in head):
            notes.append(
                f"{missing} of the first {count} {label} images of the pool are not there, or are of "
                "held-out patients; the next in the list took their place"
            )
        mixture += head
    return shuffled(mixture, seed, 4), notes


def shuffled(rows: Sequence[Row], seed: int, purpose: int) -> list[Row]:
    """An order that depends on the seed and the paths alone, not on the order of the rows."""
    ordered = sorted(rows, key=lambda row: row.path)
    return [ordered[i] for i in np.random.default_rng([seed, purpose]).permutation(len(ordered))]


def _position(row: Row, name: str) -> int:
    said = row.value(POOL_ORDER).strip()
    if not (said.isascii() and said.isdecimal()):
        raise UserError(
            f"{name}: {row.path} is in the unlabelled pool, and its {POOL_ORDER} {said!r} is no position in "
            "a list (0, 1, …); fill the column, or set cohorts.pool_draw=random"
        )
    return int(said)
