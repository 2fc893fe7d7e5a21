"""Whether a recipe's encoders have their weights and packages here. No torch: sources are a table, files are
looked for, and packages are found without being imported."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from secondread.errors import UserError
from secondread.networks.weights.find import find_weights
from secondread.networks.weights.sources import SOURCES
from secondread.recipes.named_encoders import encoders_of
from secondread.recipes.packages_needed import BY_A_PACKAGE, pyod_model
from secondread.recipes.recipe import Recipe
from secondread.wording.extras import install_command

FROM_A_BUNDLE = ("learnt", "patch_teacher")


def missing(recipe: Recipe) -> Iterator[str]:
    """A line for each file and package that the recipe's detector needs and that is not here.

    What only the detector's own settings tell, such as an encoder that the recipe leaves to a default, is
    known once the detector is built.
    """
    model = pyod_model(recipe.detector)
    if model and find_spec("pyod") is None:
        yield f"the outlier model {model} is PyOD's, which is not installed: run {install_command('pyod')}"
    for encoder in encoders_of(recipe.detector):
        name, weights = str(encoder.get("name", "")), encoder.get("weights")
        if name in BY_A_PACKAGE and find_spec(BY_A_PACKAGE[name]) is None:
            yield (
                f"encoder {name} needs the package {BY_A_PACKAGE[name]}, which is not installed: "
                f"run {install_command(BY_A_PACKAGE[name])}"
            )
        if name in FROM_A_BUNDLE and weights not in (None, "", "random"):
            if not (Path(str(weights)).expanduser() / "bundle.json").is_file():
                yield f"encoder {name}: {weights} is no bundle; fit one first, and give its folder"
        elif name in SOURCES and weights != "random":
            try:
                find_weights(name, None if weights in (None, "") else str(weights), SOURCES[name])
            except UserError as error:
                yield str(error)
