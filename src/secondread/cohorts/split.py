"""Splits and folds by patient, stratified as far as patients allow, by seed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from difflib import get_close_matches

import numpy as np

from secondread.cohorts.columns import COLUMNS
from secondread.cohorts.manifest import Manifest, ManifestLike
from secondread.cohorts.row import Row, patient_of
from secondread.errors import UserError
from secondread.wording.numbers import count

_OF_ONE_IMAGE = ("path", "mask", "patient_id", "study_id", "split")
"""Columns by which nothing can be spread alike."""


def split(
    manifest: ManifestLike,
    *,
    seed: int,
    test: float = 0.2,
    validation: float = 0.0,
    folds: int | None = None,
    stratify: Sequence[str] = ("label",),
    again: bool = False,
) -> Manifest:
    """The manifest with the column `split` filled, or with `folds` the column `fold` (0 … folds−1).

    test, validation   shares of the images; the rest is `train`
    folds              number of folds instead; `split` is then left empty, and a recipe names its fold
    stratify           columns whose values should be spread alike, as far as whole patients allow
    again              whether a split that is already there may be replaced

    A patient's images stay together (`patient_of`). Patients without any label go to train, and get no
    fold, because a test cannot use them. Raises UserError for shares or folds that cannot be met.

    >>> import secondread
    >>> manifest = secondread.make_phantoms("phantoms", seed=0, n_normal=8, n_abnormal=4)
    >>> parted = secondread.split(manifest, seed=0, test=0.5, again=True)
    >>> sorted({row.split for row in parted.rows})
    ['test', 'train']
    """
    manifest = Manifest.of(manifest)
    name = manifest.source or "manifest"
    column = "fold" if folds is not None else "split"
    if not again and any(row.split or (folds is not None and row.extra.get("fold")) for row in manifest.rows):
        raise UserError(f"{name}: rows already have a split or fold; pass --again to replace it")
    known = {*COLUMNS, *manifest.extra_columns}
    if unknown := [each for each in stratify if each not in known]:
        raise UserError(_no_column(name, unknown[0], manifest))
    parts = _parts(test, validation, folds)

    patients: dict[str, list[Row]] = defaultdict(list)
    for row in manifest.rows:
        patients[patient_of(row)].append(row)
    labelled = {who: rows for who, rows in patients.items() if any(row.label for row in rows)}
    if not labelled:
        labelled = dict(patients)
    if len(labelled) < len(parts):
        raise UserError(
            f"{name}: {count(len(labelled), 'patient')} with labels cannot fill {len(parts)} parts"
        )

    part_of = _assign(labelled, parts, stratify, np.random.default_rng(seed))
    rest = "" if folds is not None else "train"
    rows = []
    for row in manifest.rows:
        part = part_of.get(patient_of(row), rest)
        if column == "split":
            rows.append(replace(row, split=part))
        else:
            rows.append(replace(row, split="", extra={**row.extra, "fold": part}))
    return replace(manifest, rows=tuple(rows))


def _no_column(name: str, column: str, manifest: Manifest) -> str:
    """That a column to stratify by is not there, which ones may be, and how to have it."""
    filled = [each for each in COLUMNS if any(row.value(each) for row in manifest.rows)]
    useful = [each for each in (*filled, *manifest.extra_columns) if each not in _OF_ONE_IMAGE]
    near = get_close_matches(column, useful, 1, 0.6)
    meant = f"did you mean {near[0]}? " if near else ""
    return (
        f"{name}: no column {column!r} to stratify by; {meant}there are {', '.join(useful) or 'none'}; add "
        f"the column to the manifest (`secondread index FOLDER --labels TABLE --keep {column}`), or leave "
        f"--stratify {column} out"
    )


def _parts(test: float, validation: float, folds: int | None) -> dict[str, float]:
    """Each part's share."""
    if folds is not None:
        if folds < 2:
            raise UserError(f"{folds} folds: give at least 2")
        return {str(k): 1 / folds for k in range(folds)}
    if not (0 <= test < 1 and 0 <= validation < 1 and test + validation < 1):
        raise UserError(
            f"shares of {test:g} for test and {validation:g} for validation leave no training images"
        )
    shares = {"train": 1 - test - validation, "validation": validation, "test": test}
    return {part: share for part, share in shares.items() if share > 0}


def _assign(
    patients: dict[str, list[Row]],
    parts: dict[str, float],
    stratify: Sequence[str],
    rng: np.random.Generator,
) -> dict[str, str]:
    """Which patient goes to which part.

    Patients come stratum by stratum in random order; each goes to the part whose images so far fall
    most short of its share, in its stratum first and then over all, as in error diffusion.
    """
    strata: dict[tuple[tuple[str, ...], ...], list[str]] = defaultdict(list)
    for who in sorted(patients):
        strata[tuple(tuple(sorted({row.value(c) for row in patients[who]})) for c in stratify)].append(who)

    names = list(parts)
    shares = np.array([parts[name] for name in names])
    short_over_all = np.zeros(len(names))
    part_of: dict[str, str] = {}
    for stratum in sorted(strata):
        members = strata[stratum]
        short = rng.permutation(len(names)) * 1e-6
        for i in rng.permutation(len(members)):
            who = members[i]
            images = len(patients[who])
            short += shares * images
            short_over_all += shares * images
            taken = int(np.argmax(short + 0.5 * short_over_all))
            short[taken] -= images
            short_over_all[taken] -= images
            part_of[who] = names[taken]
    _fill_empty_parts(part_of, names, rng)
    return part_of


def _fill_empty_parts(part_of: dict[str, str], names: Sequence[str], rng: np.random.Generator) -> None:
    """Give every part at least one patient, taken from the fullest."""
    for name in names:
        if name not in part_of.values():
            fullest = max(names, key=lambda other: sum(part == other for part in part_of.values()))
            candidates = sorted(who for who, part in part_of.items() if part == fullest)
            part_of[candidates[int(rng.integers(len(candidates)))]] = name
