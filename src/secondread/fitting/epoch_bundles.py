"""Bundles of earlier epochs of a fit: `OUT.epochs/epoch-00005`, each calibrated and scored like any other.

So a curve that only labels can tell, drawn afterwards on the test, can be set beside the curves that need
none.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from secondread.bundles.bundle import Bundle
from secondread.bundles.bundle_document import Provenance
from secondread.calibration.calibration import Calibration
from secondread.detectors.contract import Detector
from secondread.errors import UserError
from secondread.outputs.whole import whole_folder
from secondread.recipes.recipe import Recipe
from secondread.terminal.say import say
from secondread.training.choosing.kept_epochs import KeptEpoch, kept_epochs

Calibrate = Callable[[], tuple[Calibration, tuple[str, ...]]]


def epochs_folder(out: Path) -> Path:
    return out.with_name(f"{out.name}.epochs")


def keeps_epochs(recipe: Recipe) -> bool:
    """Whether bundles of earlier epochs are asked for."""
    return any(settings.keep_every for settings in recipe.stages.values())


def refuse_epochs(detector: Detector, recipe: Recipe) -> None:
    """`UserError` where epochs are to be kept of a stage that is not the last one which trains, so that no
    whole detector comes of them."""
    trained = [stage.section for stage in detector.stages() if stage.steps]
    for name in [name for name, settings in recipe.stages.items() if settings.keep_every]:
        if trained.count(name) > 1:
            raise UserError(
                f"stages.{name}.keep_every: it trains {trained.count(name)} networks, each by itself, so "
                "that their epochs make no whole detector; take it out"
            )
        if name not in trained[-1:]:
            last = f"only {trained[-1]} can have it" if trained else "no stage here trains"
            raise UserError(f"stages.{name}.keep_every: the epochs of the last stage can be kept; {last}")


def save_epochs(bundle: Bundle, out: Path, directory: Path, calibrate: Calibrate, *, shown: bool) -> None:
    """A bundle of each epoch that the fit in `directory` kept; an epoch whose scores are not finite is left
    out, and said. The folder is there whole or not at all. The bundle's own detector ends as it was."""
    kept = kept_epochs(directory)
    target = epochs_folder(out)
    if not kept or target.exists():
        return
    detector = bundle.detector
    fitted = {name: tensor.clone() for name, tensor in detector.state_dict().items()}
    with whole_folder(target) as folder:
        for one in kept:
            detector.load_fitted({**fitted, **one.state()}).to(bundle.device)
            try:
                calibration, _ = calibrate()
            except UserError as error:
                say(f"note: epoch {one.epoch + 1} is left out of {target.name}: {error}", shown=shown)
                continue
            replace(bundle, calibration=calibration, provenance=_told(bundle, one)).save(
                folder / f"epoch-{one.epoch + 1:05d}"
            )
    detector.load_fitted(fitted).to(bundle.device)


def _told(bundle: Bundle, kept: KeptEpoch) -> Provenance:
    """The provenance, in which the training log says which epoch this is."""
    training = dict(bundle.provenance.training)
    training["stages"] = [
        {**stage, "chosen_epoch": kept.epoch, "rule": "kept on the way"}
        if stage["name"] == kept.stage
        else stage
        for stage in training["stages"]
    ]
    return bundle.provenance.model_copy(update={"training": training})
