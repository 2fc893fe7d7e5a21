"""Public encoder weights for a recipe, fetched only where a person asks."""

from __future__ import annotations

from secondread.errors import UserError
from secondread.networks.weights.find import find_weights, weights_folder
from secondread.networks.weights.sources import SOURCES
from secondread.recipes.named_encoders import encoders_of
from secondread.recipes.recipe import Recipe


def download_missing_weights(recipe: Recipe) -> None:
    """Fetch the weights of the recipe's encoders as safetensors into `weights_folder`, where they are found
    from then on, unless they are there already.

    Encoders that have no public weights, or weights that the recipe names or an installed package ships,
    are left alone. Raises UserError where no safetensors source is known, or the download fails.
    """
    for encoder in encoders_of(recipe.detector):
        name = str(encoder.get("name", ""))
        if name not in SOURCES or encoder.get("weights"):
            continue
        try:
            find_weights(name, None, SOURCES[name])
        except UserError:
            from secondread.networks.weights.load import download_weights

            download_weights(name, weights_folder(), SOURCES[name])
