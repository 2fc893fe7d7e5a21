"""The README's table of methods, made from the presets and their detectors. `make methods` writes it."""

from __future__ import annotations

import re
from pathlib import Path

from secondread.detectors import DETECTORS
from secondread.detectors.blocks.encoder_settings import encoder_kind
from secondread.recipes.recipe import Preset, Recipe, presets

README = Path(__file__).resolve().parents[2] / "README.md"
MARKS = ("<!-- methods: made by `make methods` -->\n", "<!-- end of methods -->\n")
COHORTS = {"normal": "normals", "unlabelled": "unlabelled images", "abnormal": "labelled abnormal images"}


def methods_table() -> str:
    lines = ["| preset | method | needs | takes | state |", "|---|---|---|---|---|"]
    for preset in presets():
        takes = ", ".join(f"{rank}-D" for rank in preset.ranks)
        lines.append(
            f"| `{preset.name}` | {title(preset)} | {needs(preset)} | {takes} | {preset.about.state} |"
        )
    return "\n".join(lines) + "\n"


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
    text = README.read_text(encoding="utf-8")
    README.write_text(text.replace(within_marks(text), methods_table()), encoding="utf-8")
