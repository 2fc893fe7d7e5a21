"""The two sites of a transfer: where a recipe is fitted, and where its bundle is to be used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from secondread.cohorts.manifest import Manifest
from secondread.cohorts.row import Row
from secondread.cohorts.unlabelled import in_pool
from secondread.errors import UserError
from secondread.wording.lists import few
from secondread.wording.numbers import count
from secondread.wording.one_text import refuse_one_text


@dataclass(frozen=True)
class Sites:
    """home   rows of the training site, with their own splits
    away   rows of the other site: those of split test judge it, and its normals of split train, which are of
           other patients, calibrate the bundle there
    names  the conditions of each
    """

    home: Manifest
    away: Manifest
    names: tuple[str, str]


def choose_sites(
    manifest: Manifest, train: Sequence[str], test: Sequence[str], *, held_apart: float = 0.5, seed: int = 0
) -> Sites:
    """The rows that meet all conditions of `train`, and those that meet all of `test`.

    Where the other site has test rows, these judge it, and its other normals calibrate. Where it has none, or
    all its normals are among them, normals of a share `held_apart` of its patients, drawn by `seed`,
    calibrate, and all other labelled rows judge it.

    Raises UserError where a row or a patient is of both sites, the training site has no labelled test row, or
    the other has no normals of two patients.
    """
    if not train or not test:
        raise UserError("say which rows are of each site: --train 'site=A' --test 'site=B'")
    refuse_one_text(train, "train")
    refuse_one_text(test, "test")
    home, away = manifest.where(*train), manifest.where(*test)
    names = (" and ".join(train), " and ".join(test))
    _refuse_leaks(home, away, names)
    if not any(row.split == "test" and row.label for row in home.rows):
        raise UserError(
            f"no row of {names[0]} has split test and a label, so there is nothing to compare the other site "
            "with; `secondread split` divides a manifest by patient"
        )
    return Sites(home, _divided(away, names[1], held_apart, seed), names)


def _refuse_leaks(home: Manifest, away: Manifest, names: tuple[str, str]) -> None:
    paths = {row.path for row in home.rows}
    if twice := [row.path for row in away.rows if row.path in paths]:
        raise UserError(
            f"{count(len(twice), 'row')} of {names[1]} {'is' if len(twice) == 1 else 'are'} of {names[0]} "
            f"too: {few(twice, 3)}; the sites must have no row in common"
        )
    patients = {row.patient_id for row in home.rows if row.patient_id}
    if shared := sorted({row.patient_id for row in away.rows} & patients):
        raise UserError(
            f"{count(len(shared), 'patient')} of {names[1]} {'is' if len(shared) == 1 else 'are'} at "
            f"{names[0]} too: {few(shared)}; leave these rows out, or give ids that tell patients of two "
            "sites apart"
        )


def _divided(away: Manifest, name: str, held_apart: float, seed: int) -> Manifest:
    if not 0 < held_apart < 1:
        raise UserError(f"a share of {held_apart:g} held apart does not lie between 0 and 1")
    labelled = [row for row in away.rows if row.label and not in_pool(row)]
    test = [row for row in labelled if row.split == "test"] or labelled
    tested = {_who(row) for row in test}
    spare = [row for row in labelled if row.label == "normal" and _who(row) not in tested]
    if not spare:
        normal = sorted({_who(row) for row in test if row.label == "normal"})
        if len(normal) < 2:
            raise UserError(
                f"{name} has labelled normals of {count(len(normal), 'patient')}: two at least are needed, "
                "one to calibrate and one to judge by"
            )
        drawn = np.random.default_rng(seed).permutation(len(normal))
        kept = min(max(round(held_apart * len(normal)), 1), len(normal) - 1)
        chosen = {normal[index] for index in drawn[:kept]}
        spare = [row for row in test if row.label == "normal" and _who(row) in chosen]
        test = [row for row in test if _who(row) not in chosen]
    if not any(row.label == "normal" for row in test):
        raise UserError(f"{name} has no normal test row, so no rate of false alarms can be measured there")
    rows = [replace(row, split="train") for row in spare] + [replace(row, split="test") for row in test]
    return replace(away, rows=tuple(rows))


def _who(row: Row) -> str:
    return row.patient_id or row.study_id or row.path
