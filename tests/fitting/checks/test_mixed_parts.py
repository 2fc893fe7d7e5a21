"""A part that the detector does not give is refused before anything is trained."""

from pathlib import Path

import pytest
import torch

from secondread.cohorts.manifest import Manifest
from secondread.errors import UserError
from secondread.fitting.checks.first_look import Look
from secondread.fitting.checks.mixed_parts import refuse_unknown_parts
from secondread.fitting.checks.outline import second_look
from secondread.fitting.fit import fit
from secondread.recipes.build import build_detector
from secondread.recipes.recipe import Recipe

SMALL = ["preprocessing.size=[16, 16]"]


def refused(name: str, *settings: str) -> str:
    recipe = Recipe.load(name, set=[*SMALL, *settings])
    with pytest.raises(UserError) as caught:
        refuse_unknown_parts(recipe, build_detector(recipe, pretrained=False), source="mine")
    return str(caught.value)


def test_a_slip_is_told_with_what_the_detector_gives() -> None:
    said = refused("vae", "calibration.part_weights={kll: 1}")
    assert said == (
        "mine: calibration.part_weights names the part 'kll'; did you mean kl? detector vae gives elbo, kl, "
        "reconstruction"
    )


@pytest.mark.parametrize(("name", "part"), [("pixel-1nn", "distance"), ("intensity", "intensity")])
def test_so_it_is_of_detectors_that_cannot_be_asked_yet_or_not_by_shapes(name: str, part: str) -> None:
    said = refused(name, "calibration.part_weights={other: 1}")
    assert said.endswith(f"detector {name} gives {part}")


def test_complexity_is_taken_out_of_a_mixed_part_alone() -> None:
    said = refused("vae", "calibration.complexity=difference", "calibration.complexity_part=kl")
    assert said == "calibration.complexity_part 'kl' is not among the mixed parts, reconstruction"


@pytest.mark.parametrize(
    "settings",
    [
        ["calibration.part_weights={kl: 1, elbo: 0.5}"],
        ["maps.score=mean", "calibration.part_weights={map: 1}"],
    ],
)
def test_reported_parts_and_that_of_the_map_may_be_mixed(settings: list[str]) -> None:
    recipe = Recipe.load("vae", set=[*SMALL, *settings])
    before = torch.random.get_rng_state()
    detector = build_detector(recipe, pretrained=False)
    torch.random.set_rng_state(before)
    refuse_unknown_parts(recipe, detector)
    assert torch.equal(before, torch.random.get_rng_state())


def test_neither_a_plan_nor_a_fit_is_made(recipe: Recipe, phantoms: Manifest, tmp_path: Path) -> None:
    calibration = recipe.calibration.model_copy(update={"part_weights": {"other": 1.0}})
    wrong = recipe.model_copy(update={"calibration": calibration})
    with pytest.raises(UserError, match="names the part 'other'"):
        second_look(wrong, phantoms, Look(cache=tmp_path / "cache"))
    with pytest.raises(UserError, match="names the part 'other'"):
        fit(wrong, phantoms, tmp_path / "bundle", cache=tmp_path / "cache", workers=0, progress=False)
    assert not (tmp_path / "cache").exists()
    assert list(tmp_path.glob("bundle*")) == []
