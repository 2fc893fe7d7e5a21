"""secondread: a second reader for medical images. Research use, not a medical device.

In Python as on the command line, here on drawn films (phantoms) with known lesions:

>>> import secondread
>>> manifest = secondread.make_phantoms("phantoms", seed=0, n_normal=50, n_abnormal=10)
>>> bundle = secondread.fit("spectrum", manifest, "bundle", workers=0, progress=False)
>>> readings = secondread.score(bundle, manifest, "readings", where=["split=test"], workers=0)
>>> evaluation = secondread.evaluate(readings, manifest, bootstrap=50, workers=0)
>>> evaluation.metrics()["n"]["abnormal"]
10

Each name is imported when it is first asked for, so that `import secondread` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from secondread.version import __version__

__all__ = [
    "Batch",
    "Bundle",
    "DataError",
    "Decisions",
    "Detector",
    "DetectorSettings",
    "Encoder",
    "Evaluation",
    "Exported",
    "Generative",
    "GivenLabels",
    "MakeAnomalies",
    "Manifest",
    "Mixture",
    "Part",
    "Readings",
    "Recipe",
    "Row",
    "Scores",
    "ScoringNoise",
    "Settings",
    "Stage",
    "StageSettings",
    "Step",
    "Tiny",
    "UserError",
    "__version__",
    "calibrate",
    "check",
    "compare",
    "dataset",
    "evaluate",
    "export",
    "figure",
    "figures",
    "fit",
    "index",
    "make_phantoms",
    "manifest_of_arrays",
    "plan_study",
    "presets",
    "read_image",
    "sample",
    "score",
    "show_maps",
    "split",
    "suggest",
    "transfer",
    "tune",
    "write_dicom_results",
    "write_fhir_results",
    "write_report",
]

_HOMES = {
    "secondread.anomalies.anomaly": ("MakeAnomalies",),
    "secondread.bundles.bundle": ("Bundle",),
    "secondread.bundles.decisions": ("Decisions",),
    "secondread.cohorts.arrays.manifest_of_arrays": ("manifest_of_arrays",),
    "secondread.cohorts.checking.check": ("check",),
    "secondread.cohorts.listing.given.labels": ("GivenLabels",),
    "secondread.cohorts.listing.index": ("index",),
    "secondread.cohorts.manifest": ("Manifest",),
    "secondread.cohorts.phantoms.make": ("make_phantoms",),
    "secondread.cohorts.row": ("Row",),
    "secondread.cohorts.split": ("split",),
    "secondread.comparison.compare": ("compare",),
    "secondread.datasets.convert": ("dataset",),
    "secondread.detectors.contract": (
        "Batch",
        "Detector",
        "Generative",
        "Mixture",
        "Part",
        "Scores",
        "ScoringNoise",
        "Stage",
        "Step",
        "Tiny",
    ),
    "secondread.detectors.detector_settings": ("DetectorSettings", "StageSettings"),
    "secondread.errors": ("DataError", "UserError"),
    "secondread.evaluation.evaluate": ("evaluate",),
    "secondread.evaluation.evaluation": ("Evaluation",),
    "secondread.exporting.export": ("export",),
    "secondread.exporting.exported": ("Exported",),
    "secondread.fitting.calibrate": ("calibrate",),
    "secondread.fitting.fit": ("fit",),
    "secondread.images.read": ("read_image",),
    "secondread.metrics.planning.plan": ("plan_study",),
    "secondread.networks.encoder": ("Encoder",),
    "secondread.previews.sampling": ("sample",),
    "secondread.readings.readings": ("Readings",),
    "secondread.readings.score": ("score",),
    "secondread.recipes.recipe": ("Recipe", "presets"),
    "secondread.recipes.suggest": ("suggest",),
    "secondread.reports.figure_objects": ("figure", "figures", "show_maps"),
    "secondread.reports.report": ("write_report",),
    "secondread.results.write_dicom": ("write_dicom_results",),
    "secondread.results.write_fhir": ("write_fhir_results",),
    "secondread.settings.base": ("Settings",),
    "secondread.tuning.tune": ("tune",),
    "secondread.transferring.transfer": ("transfer",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

if TYPE_CHECKING:
    from secondread.anomalies.anomaly import MakeAnomalies
    from secondread.bundles.bundle import Bundle
    from secondread.bundles.decisions import Decisions
    from secondread.cohorts.arrays.manifest_of_arrays import manifest_of_arrays
    from secondread.cohorts.checking.check import check
    from secondread.cohorts.listing.given.labels import GivenLabels
    from secondread.cohorts.listing.index import index
    from secondread.cohorts.manifest import Manifest
    from secondread.cohorts.phantoms.make import make_phantoms
    from secondread.cohorts.row import Row
    from secondread.cohorts.split import split
    from secondread.comparison.compare import compare
    from secondread.datasets.convert import dataset
    from secondread.detectors.contract import (
        Batch,
        Detector,
        Generative,
        Mixture,
        Part,
        Scores,
        ScoringNoise,
        Stage,
        Step,
        Tiny,
    )
    from secondread.detectors.detector_settings import DetectorSettings, StageSettings
    from secondread.errors import DataError, UserError
    from secondread.evaluation.evaluate import evaluate
    from secondread.evaluation.evaluation import Evaluation
    from secondread.exporting.export import export
    from secondread.exporting.exported import Exported
    from secondread.fitting.calibrate import calibrate
    from secondread.fitting.fit import fit
    from secondread.images.read import read_image
    from secondread.metrics.planning.plan import plan_study
    from secondread.networks.encoder import Encoder
    from secondread.previews.sampling import sample
    from secondread.readings.readings import Readings
    from secondread.readings.score import score
    from secondread.recipes.recipe import Recipe, presets
    from secondread.recipes.suggest import suggest
    from secondread.reports.figure_objects import figure, figures, show_maps
    from secondread.reports.report import write_report
    from secondread.results.write_dicom import write_dicom_results
    from secondread.results.write_fhir import write_fhir_results
    from secondread.settings.base import Settings
    from secondread.transferring.transfer import transfer
    from secondread.tuning.tune import tune


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME_OF[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
