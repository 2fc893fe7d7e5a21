"""Public encoder weights for a recipe: those that are there or, only where a person asks, downloaded ones."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from pydantic import ValidationError

from secondread.detectors import DETECTORS, find
from secondread.errors import UserError
from secondread.networks.encoder import PRETRAINED
from secondread.networks.weights import FOLDER_VARIABLE, download_weights, find_weights
from secondread.recipes.recipe import Recipe


def default_weights_folder() -> Path:
    """SECONDREAD_WEIGHTS where it is set, else the platform's folder for a user's data."""
    if given := os.environ.get(FOLDER_VARIABLE):
        return Path(given).expanduser()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "secondread" / "weights"
    return Path(os.environ.get("XDG_DATA_HOME", Path.home() / ".local" / "share")) / "secondread" / "weights"


def with_downloaded_weights(recipe: Recipe) -> Recipe:
    """The recipe with its encoder's weights, fetched as safetensors unless they are there already.

    A detector without an ImageNet encoder, or with weights named by the recipe, is returned as it is.
    Raises UserError where no safetensors source is known, or the download fails.
    """
    encoder = _encoder_of(recipe)
    if encoder is None or encoder[1]:
        return recipe
    name, _ = encoder
    folder = default_weights_folder()
    try:
        file = find_weights(name, folder)
    except UserError:
        file = download_weights(name, folder)
    settings = recipe.detector.get("encoder") or {}
    detector = {**recipe.detector, "encoder": {**settings, "name": name, "weights": str(file)}}
    return recipe.model_copy(update={"detector": detector})


def _encoder_of(recipe: Recipe) -> tuple[str, str | None] | None:
    """Name and weights of the detector's ImageNet encoder; None where it has none, or is not valid
    (`build_detector` says why)."""
    if recipe.detector["name"] not in DETECTORS:
        return None
    try:
        settings = find(recipe.detector["name"]).Settings.model_validate(recipe.detector)
    except ValidationError:
        return None
    encoder = getattr(settings, "encoder", None)
    return (encoder.name, encoder.weights) if encoder is not None and encoder.name in PRETRAINED else None
