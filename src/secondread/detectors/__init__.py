"""Detectors: one method per file. `find` imports only the one that is asked for."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from secondread.detectors.contract import Detector

DETECTORS = {
    "ae": "secondread.detectors.reconstruction.ae:AE",
    "aeflow": "secondread.detectors.flows.aeflow:AEFlow",
    "aeflow-gmm": "secondread.detectors.flows.aeflow_gmm:AEFlowGMM",
    "aeu": "secondread.detectors.reconstruction.aeu:AEU",
    "ddad": "secondread.detectors.reconstruction.ddad:DDAD",
    "density-ratio": "secondread.detectors.features.density_ratio:DensityRatio",
    "feature-dictionary": "secondread.detectors.features.feature_dictionary:FeatureDictionary",
    "glow-gmm": "secondread.detectors.flows.glow_gmm:GlowGMM",
    "glow-posterior": "secondread.detectors.flows.glow_posterior:GlowPosterior",
    "intensity": "secondread.detectors.trivial.intensity:Intensity",
    "k-means": "secondread.detectors.features.k_means:KMeans",
    "k-nn": "secondread.detectors.features.k_nn:KNearestNeighbours",
    "mahalanobis": "secondread.detectors.features.mahalanobis:Mahalanobis",
    "memae": "secondread.detectors.reconstruction.memae:MemAE",
    "one-class-svm": "secondread.detectors.features.one_class_svm:OneClassSVM",
    "padim": "secondread.detectors.features.padim:PaDiM",
    "patchcore": "secondread.detectors.features.patchcore:PatchCore",
    "mean-intensity": "secondread.detectors.trivial.mean_intensity:MeanIntensity",
    "pixel-1nn": "secondread.detectors.trivial.pixel_1nn:PixelNearestNeighbour",
    "spectrum": "secondread.detectors.trivial.spectrum:Spectrum",
}


def find(name: str) -> type[Detector]:
    """The detector class called `name`; `KeyError` with the known names where there is none."""
    if name not in DETECTORS:
        raise KeyError(f"no detector is called {name!r}; there are {', '.join(sorted(DETECTORS))}")
    module, attribute = DETECTORS[name].split(":")
    return getattr(import_module(module), attribute)
