"""secondread: a second reader for medical images. Research use, not a medical device.

In Python as on the command line:

    recipe = Recipe.load("aeflow")
    manifest = Manifest.read("manifest.csv")
    bundle = fit(recipe, manifest, "bundle")
    readings = Bundle.load("bundle").score("new-images/")
    evaluation = evaluate("readings/readings.csv", manifest)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from secondread.version import __version__

__all__ = ["Bundle", "Manifest", "Recipe", "__version__", "evaluate", "fit"]

_HOMES = {
    "Bundle": "secondread.bundles.bundle",
    "Manifest": "secondread.cohorts.manifest",
    "Recipe": "secondread.recipes.recipe",
    "evaluate": "secondread.evaluation.evaluate",
    "fit": "secondread.fitting.fit",
}

if TYPE_CHECKING:
    from secondread.bundles.bundle import Bundle
    from secondread.cohorts.manifest import Manifest
    from secondread.evaluation.evaluate import evaluate
    from secondread.fitting.fit import fit
    from secondread.recipes.recipe import Recipe


def __getattr__(name: str) -> Any:
    """Imported when first asked for, so that `import secondread` costs nothing."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
