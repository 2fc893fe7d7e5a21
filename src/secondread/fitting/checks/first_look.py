"""The first look at a fit: all that can be known in a second, before torch is imported or images prepared."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from secondread.cohorts.cohorts import Cohorts
from secondread.cohorts.manifest import Manifest
from secondread.detectors import DETECTORS
from secondread.errors import UserError
from secondread.fitting.checks.at_hand import missing
from secondread.fitting.checks.problem import Problem, found
from secondread.fitting.checks.room import (
    cache_folder,
    no_room_for_images,
    no_room_for_output,
    refuse_no_cache,
)
from secondread.fitting.finished import refuse_another_bundle
from secondread.fitting.identity import identity_of, settings_of
from secondread.fitting.planning import LearnsFrom, planned_cohorts
from secondread.fitting.unfinished import Unfinished
from secondread.networks.weights.sources import SOURCES
from secondread.outputs.folders import partial, refuse_no_folder
from secondread.preprocessing.cache.cache import Cache
from secondread.recipes.known_needs import known_needs
from secondread.recipes.named_encoders import encoders_of
from secondread.recipes.recipe import Recipe
from secondread.scoring.device_name import refuse_unknown_device

WITHOUT_FILES = {*SOURCES, "conv", "residual"}
"""Encoders whose settings no file completes, so that the recipe's digest is known without them."""


@dataclass(frozen=True)
class Look:
    """How a fit is looked at: as `fit` takes it."""

    device: str | None = "auto"
    cache: str | Path | Cache | None = None
    workers: int = 1
    allow_shared_patients: bool = False
    force: bool = False


def first_look(
    recipe: Recipe, manifest: Manifest, look: Look, *, out: Path | None = None, source: str = "recipe"
) -> list[Problem]:
    """Why a fit would fail, as far as a second tells: names, packages, weights, cohorts, disks, and the place
    of the bundle.

    out     the bundle's folder; None = it is somebody else's affair
    source  what messages call the recipe
    """
    problems = found(lambda: refuse_unknown_device(look.device))
    name = recipe.detector["name"]
    problems += found(lambda: _refuse_unknown_detector(name, source))
    problems += [Problem(line) for line in missing(recipe)]
    cohorts: list[Cohorts] = []
    problems += found(lambda: cohorts.append(first_cohorts(recipe, manifest, look)))
    if out is not None:
        problems += _place(recipe, manifest, look, out)
    kept = cache_folder(look.cache)
    in_the_way = found(lambda: refuse_no_cache(kept))
    problems += in_the_way
    if cohorts and not in_the_way:
        rows = [row for part in PARTS for row in getattr(cohorts[0], part)]
        problems += no_room_for_images(recipe.preprocessing, manifest, rows, kept)
    return problems


PARTS = ("normal", "unlabelled", "abnormal", "validation", "calibration")


def _refuse_unknown_detector(name: str, source: str) -> None:
    if DETECTORS.place_of(name) is None and name not in DETECTORS.built_in:
        raise UserError(f"{source}: detector.name is {DETECTORS.unknown(name)}")


def first_cohorts(recipe: Recipe, manifest: Manifest, look: Look) -> Cohorts:
    """With what the recipe is known to need; where only the built detector can tell, with nothing."""
    place = recipe.cohorts.auxiliary
    if place is not None and not Path(place).expanduser().exists():
        raise UserError(f"cohorts.auxiliary: {place}: no such file or folder")
    needs = known_needs(recipe) or frozenset()
    listed = needs - {"auxiliary"} if place is not None else needs
    return planned_cohorts(
        LearnsFrom(listed, listed), recipe, manifest, None, allow_shared_patients=look.allow_shared_patients
    )


def _place(recipe: Recipe, manifest: Manifest, look: Look, out: Path) -> list[Problem]:
    """Whether the bundle can lie at `out`."""
    problems = found(lambda: refuse_no_folder(out))
    if problems:
        return problems
    if not look.force:
        unfinished = Unfinished(out, *_known_identity(recipe, manifest, look))
        problems += found(lambda: refuse_another_bundle(unfinished))
        problems += found(unfinished.refuse_another) if not problems else []
    elif out.exists() and not (out / "bundle.json").is_file() and (not out.is_dir() or any(out.iterdir())):
        problems.append(Problem(f"{out}: is no bundle, which --force would replace; choose another place"))
    return problems or no_room_for_output(partial(out))


def _known_identity(recipe: Recipe, manifest: Manifest, look: Look) -> tuple[dict[str, Any], dict[str, Any]]:
    """As much of the fit's identity as is known before encoders have been asked, and the recipe's values."""
    identity = identity_of(recipe, manifest, None, allow_shared_patients=look.allow_shared_patients)
    if not WITHOUT_FILES.issuperset(str(encoder.get("name")) for encoder in encoders_of(recipe.detector)):
        del identity["recipe"]
    return identity, settings_of(recipe)
