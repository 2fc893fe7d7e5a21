"""The Python reference: every name of the front door, on a page by what it is for."""

from __future__ import annotations

import secondread

GROUPS = {
    "Data": ("index", "GivenLabels", "split", "check", "Manifest", "Row", "manifest_of_arrays",
        "make_phantoms", "read_image"),
    "Recipes": ("presets", "suggest", "Recipe", "Settings"),
    "Fit and score": ("fit", "calibrate", "score", "sample", "export", "Bundle", "Exported", "Decisions",
        "Readings"),
    "Evaluate and compare": ("evaluate", "Evaluation", "compare", "write_report"),
    "Own detectors": (
        "Detector", "DetectorSettings", "Stage", "StageSettings", "Step", "Batch", "Scores", "Part",
        "Mixture", "ScoringNoise", "Generative", "Tiny", "Encoder", "MakeAnomalies",
    ),
    "Results for other systems": ("write_dicom_results", "write_fhir_results"),
    "Errors": ("UserError", "DataError"),
}  # fmt: skip
REST = "More"


def pages() -> dict[str, str]:
    """Title -> page. A name that is in no group yet stands on a page of its own kind."""
    placed = {name for names in GROUPS.values() for name in names}
    rest = tuple(name for name in secondread.__all__ if name not in placed and name != "__version__")
    groups = {title: tuple(n for n in names if n in secondread.__all__) for title, names in GROUPS.items()}
    if rest:
        groups[REST] = rest
    return {title: _page(title, names) for title, names in groups.items()}


def address(title: str) -> str:
    return f"reference/{title.lower().replace(' ', '-')}.md"


def _page(title: str, names: tuple[str, ...]) -> str:
    parts = [f"# {title}", "All names are imported from `secondread` itself."]
    for name in names:
        home = secondread._HOME_OF[name]
        members = "\n    options:\n      members: false" if name in ("UserError", "DataError") else ""
        parts.append(f"::: {home}.{name}{members}")
    return "\n\n".join(parts) + "\n"
