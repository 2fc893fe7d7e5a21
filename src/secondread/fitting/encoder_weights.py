"""Public encoder weights for a recipe: those that are there or, only where a person asks, downloaded ones."""

from __future__ import annotations

from pydantic import ValidationError

from secondread.detectors import DETECTORS
from secondread.errors import UserError
from secondread.networks.encoder import EncoderSettings
from secondread.networks.encoders import ENCODERS
from secondread.networks.pretrained import PretrainedEncoder
from secondread.networks.weights.find import find_weights, weights_folder
from secondread.networks.weights.load import download_weights
from secondread.recipes.outside_code import allow_code_of
from secondread.recipes.recipe import Recipe


def with_downloaded_weights(recipe: Recipe) -> Recipe:
    """The recipe with its encoder's weights, fetched as safetensors unless they are there already.

    A detector without an ImageNet encoder, or with weights that the recipe names or an installed package
    ships, is returned as it is.
    Raises UserError where no safetensors source is known, or the download fails.
    """
    allow_code_of(recipe)
    encoder = _encoder_of(recipe)
    if encoder is None or encoder.weights:
        return recipe
    name, kind = encoder.name, ENCODERS.find(encoder.name)
    if not issubclass(kind, PretrainedEncoder) or kind.source.shipped() is not None:
        return recipe
    folder = weights_folder()
    try:
        file = find_weights(name, folder, kind.source)
    except UserError:
        file = download_weights(name, folder, kind.source)
    settings = recipe.detector.get("encoder") or {}
    detector = {**recipe.detector, "encoder": {**settings, "name": name, "weights": str(file)}}
    return recipe.model_copy(update={"detector": detector})


def _encoder_of(recipe: Recipe) -> EncoderSettings | None:
    """The settings of the detector's encoder; None where it has none, or is not valid (`build_detector` says
    why)."""
    try:
        settings = DETECTORS.find(recipe.detector["name"]).Settings.model_validate(recipe.detector)
    except (KeyError, UserError, ValidationError):
        return None
    return getattr(settings, "encoder", None)
