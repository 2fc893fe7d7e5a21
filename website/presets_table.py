"""The list of methods in docs/presets.md, made from the presets and their detectors, and that of data sets.
`make methods` writes them."""

from __future__ import annotations

import re
from pathlib import Path

from data_sets_table import data_sets_table

import secondread.recipes
from secondread.detectors import DETECTORS
from secondread.detectors.blocks.encoder_settings import encoder_kind
from secondread.recipes.recipe import Preset, Recipe, presets

ROOT = Path(__file__).resolve().parents[1]
PRESETS = Path(secondread.recipes.__file__).parent / "presets"
MARKS = ("<!-- methods: made by `make methods` -->\n", "<!-- end of methods -->\n")
COHORTS = {"normal": "normals", "unlabelled": "unlabelled images", "abnormal": "labelled abnormal images"}
FAMILIES = {
    "features": "Frozen features: distances, densities, subspaces, patches",
    "classics": "Classics of scikit-learn and PyOD",
    "feature_flows": "Frozen features: normalizing flows",
    "distillation": "Frozen features: distillation",
    "flows": "Normalizing flows",
    "residual_flows": "Residual flows",
    "reconstruction": "Reconstruction",
    "variational": "Variational and quantised reconstruction",
    "adversarial": "Adversarial",
    "one_class": "One-class networks",
    "own_features": "Own features, learned without labels",
    "self_supervised": "Self-supervised: synthetic anomalies",
    "ensembles": "Ensembles",
    "trivial": "Trivial baselines",
}
"""The folders of presets, in the order in which they are shown."""


def by_family() -> dict[str, list[Preset]]:
    """The presets of each family, by its title."""
    folders = {file.stem: file.parent.name for file in PRESETS.glob("*/*.yaml")}
    found: dict[str, list[Preset]] = {title: [] for title in FAMILIES.values()}
    for preset in presets():
        found[FAMILIES[folders[preset.name]]].append(preset)
    return found


def presets_table() -> str:
    """What docs/presets.md shows: a table for each family."""
    found = []
    for family, members in by_family().items():
        lines = [f"## {family}", "", "| preset | method | needs | takes | state |", "|---|---|---|---|---|"]
        for preset in members:
            takes = ", ".join(f"{rank}-D" for rank in preset.ranks)
            lines.append(
                f"| `{preset.name}` | {title(preset)} | {needs(preset)} | {takes} | {preset.about.state} |"
            )
        found.append("\n".join(lines) + "\n")
    return "\n".join(found)


LISTS = {
    ROOT / "docs" / "presets.md": presets_table,
    ROOT / "docs" / "data-sets.md": data_sets_table,
}


def title(preset: Preset) -> str:
    """The preset's title, with the authors and years of its papers."""
    papers = []
    for paper in filter(None, preset.about.paper.split("; ")):
        authors = re.split(r": |, (?=[A-Z][\w ]+ \d{4})", paper)[0]
        papers.append(f"{authors}, {re.findall(r'[12][0-9]{3}', paper)[-1]}")
    return f"{preset.about.title} ({'; '.join(papers)})" if papers else preset.about.title


def needs(preset: Preset) -> str:
    """Its cohorts (another test compares them with the detector's), and the weights of a frozen encoder."""
    found = [words for cohort, words in COHORTS.items() if cohort in preset.about.needs]
    detector = Recipe.load(preset.name).detector
    settings = DETECTORS.find(detector["name"]).Settings.model_validate(detector)
    several = getattr(settings, "of", None)
    every = list(several.values()) if isinstance(several, dict) else [settings]
    encoders = filter(None, (getattr(one, "encoder", None) for one in every))
    weights = [f"{encoder.name} weights" for encoder in encoders if not encoder_kind(encoder).learns]
    return ", ".join([*found, *dict.fromkeys(weights)])


def within_marks(text: str) -> str:
    return text.split(MARKS[0])[1].split(MARKS[1])[0]


if __name__ == "__main__":
    for page, made in LISTS.items():
        before, rest = page.read_text(encoding="utf-8").split(MARKS[0])
        page.write_text(before + MARKS[0] + made() + MARKS[1] + rest.split(MARKS[1])[1], encoding="utf-8")
