"""Detectors: one method per file. `find` imports only the one that is asked for."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from secondread.detectors.contract import Detector

DETECTORS = {
    "ae": "secondread.detectors.ae:AE",
    "aeflow": "secondread.detectors.aeflow:AEFlow",
    "aeflow-gmm": "secondread.detectors.aeflow_gmm:AEFlowGMM",
    "aeu": "secondread.detectors.aeu:AEU",
    "ddad": "secondread.detectors.ddad:DDAD",
    "density-ratio": "secondread.detectors.density_ratio:DensityRatio",
    "feature-dictionary": "secondread.detectors.feature_dictionary:FeatureDictionary",
    "glow-gmm": "secondread.detectors.glow_gmm:GlowGMM",
    "glow-posterior": "secondread.detectors.glow_posterior:GlowPosterior",
    "intensity": "secondread.detectors.intensity:Intensity",
    "k-means": "secondread.detectors.k_means:KMeans",
    "k-nn": "secondread.detectors.k_nn:KNearestNeighbours",
    "mahalanobis": "secondread.detectors.mahalanobis:Mahalanobis",
    "memae": "secondread.detectors.memae:MemAE",
    "one-class-svm": "secondread.detectors.one_class_svm:OneClassSVM",
    "padim": "secondread.detectors.padim:PaDiM",
    "patchcore": "secondread.detectors.patchcore:PatchCore",
    "mean-intensity": "secondread.detectors.mean_intensity:MeanIntensity",
    "pixel-1nn": "secondread.detectors.pixel_1nn:PixelNearestNeighbour",
    "spectrum": "secondread.detectors.spectrum:Spectrum",
}


def find(name: str) -> type[Detector]:
    """The detector class called `name`; `KeyError` with the known names where there is none."""
    if name not in DETECTORS:
        raise KeyError(f"no detector is called {name!r}; there are {', '.join(sorted(DETECTORS))}")
    module, attribute = DETECTORS[name].split(":")
    return getattr(import_module(module), attribute)
