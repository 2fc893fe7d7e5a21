"""Whether a recipe mixes parts that its detector gives, asked before anything is trained."""

from __future__ import annotations

import torch

from secondread.calibration.part_mixture import refuse_complexity_unmixed
from secondread.detectors.contract import Batch, Detector
from secondread.errors import UserError
from secondread.networks.on_meta.shapes_only import ShapesOnly
from secondread.recipes.build import build_detector
from secondread.recipes.recipe import Recipe
from secondread.scoring.scorer import noise_for
from secondread.wording.near_names import near_names

_OWN = "secondread."


def refuse_unknown_parts(recipe: Recipe, detector: Detector, *, source: str = "recipe") -> None:
    """UserError where `calibration` names a part that the detector does not give.

    Parts beyond those that the detector mixes itself are known by asking it, as it is before it has learned,
    about an empty image: of shapes alone where that is possible, else of numbers. Of a detector that cannot
    be asked yet nothing is said; the calibration will.
    """
    settings, own = recipe.calibration, detector.mixture().weights
    weights = own if settings.part_weights is None else settings.part_weights
    refuse_complexity_unmixed(settings, weights)
    added = {"map"} if recipe.maps.score != "none" else set()
    if not set(weights) - set(own) - added:
        return
    known = _given(recipe, "meta", source) or _given(recipe, "cpu", source) or _of_one_part(detector)
    if known is None:
        return
    for name in weights:
        if name not in known | added:
            near = near_names(name, known | added, 1)
            hint = f"did you mean {near[0]}? " if near else ""
            raise UserError(
                f"{source}: calibration.part_weights names the part {name!r}; {hint}detector "
                f"{recipe.detector['name']} gives {', '.join(sorted(known | added))}"
            )


def _given(recipe: Recipe, device: str, source: str) -> set[str] | None:
    """The parts that the detector gives before it has learned; None where it cannot say."""
    with torch.random.fork_rng(devices=()), torch.device(device), torch.no_grad():
        try:
            if device == "meta":
                with ShapesOnly():
                    return _asked(recipe, source)
            return _asked(recipe, source)
        except Exception:  # whatever an empty memory or a device without numbers makes of it
            return None


def _asked(recipe: Recipe, source: str) -> set[str]:
    detector = build_detector(recipe, pretrained=False, source=source).eval()
    image = torch.zeros(1, detector.channels, *detector.size)
    return set(detector.score(Batch(image, None), noise_for(["0" * 16]), maps=False).parts)


def _of_one_part(detector: Detector) -> set[str] | None:
    """Of a method of this package that leaves the mixture as it is: it gives its one part."""
    kind = type(detector)
    alone = kind.mixture is Detector.mixture and kind.__module__.startswith(_OWN)
    return {detector.part} if alone else None
