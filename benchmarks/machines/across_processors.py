"""How much a score differs where sums are rounded in another order: what the tolerance of ties rests on.

Each detector is fitted once in its tiny form (those of the tests) or as a preset, and scores the same images
in every form that stands in for another processor (`forms.py`), each in a process of its own. Told is
the largest difference of a raw part from this machine's own, as a share of the part's spread (that of
`calibration.conformal`) among the images.

    python benchmarks/machines/across_processors.py
    SECONDREAD_WEIGHTS=weights python benchmarks/machines/across_processors.py --presets aeflow k-nn
"""

from __future__ import annotations

import argparse
import pickle
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from forms import FORMS, environment
from one_at_a_time import fitted, smooth_noise

from secondread.calibration.conformal import spread
from secondread.calibration.raw_scores import RawScores, concatenate
from secondread.detectors import DETECTORS, find
from secondread.detectors.contract import Detector
from secondread.recipes.recipe import Recipe
from secondread.scoring.bf16_speed import processor_name
from secondread.scoring.image_source import ArraySource
from secondread.scoring.scorer import Scorer
from secondread.training.loop import train

IMAGES = 24


def tiny(name: str, rank: int, folder: Path) -> Detector:
    form = find(name).tiny(rank)
    torch.manual_seed(0)
    detector = find(name)(form.settings, form.channels, form.size)
    cohorts = {
        cohort: smooth_noise(16, form.channels, tuple(form.size), seed)
        for seed, cohort in enumerate(("normal", "validation", "unlabelled", "abnormal"))
    }
    train(detector, cohorts, form.stages, seed=0, directory=folder, device="cpu", progress=False)
    return detector


def scored(made: dict[str, tuple[Detector, ArraySource]], precision: str) -> dict[str, RawScores]:
    return {
        name: concatenate(list(Scorer(detector, precision=precision).set(source, maps=False)))
        for name, (detector, source) in made.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--presets", nargs="*", default=[])
    parser.add_argument("--only", nargs="*", default=list(DETECTORS), help="tiny forms of these detectors")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--precision", default="float32", choices=["float32", "bf16"])
    parser.add_argument("--score", nargs=2, metavar=("DETECTORS", "SCORES"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.score:
        made = torch.load(given.score[0], weights_only=False)
        Path(given.score[1]).write_bytes(pickle.dumps(scored(made, given.precision)))
        return
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        detectors = {}
        if given.presets:
            for preset in given.presets:
                detectors[preset] = fitted(Recipe.load(preset, set=given.set), folder / preset)
        else:
            for name in given.only:
                for rank in sorted(find(name).ranks):
                    detectors[f"{name} {rank}-D"] = tiny(name, rank, folder / f"{name}-{rank}")
        made = {
            name: (detector, smooth_noise(IMAGES, detector.channels, tuple(detector.size), 9))
            for name, detector in detectors.items()
        }
        torch.save(made, folder / "detectors")
        results: dict[str, dict[str, RawScores]] = {}
        for form in FORMS:
            call = [sys.executable, __file__, "--precision", given.precision]
            call += ["--score", str(folder / "detectors"), str(folder / "scores")]
            subprocess.run(call, env=environment(form), check=True)
            results[form] = pickle.loads((folder / "scores").read_bytes())
    print(f"{processor_name()}, {given.precision}")
    own = results["as it is"]
    for name, raw in own.items():
        for part, values in raw.parts.items():
            wide = spread(values)
            apart = {
                form: float(abs(found[name].parts[part] - values).max()) / wide if wide else 0.0
                for form, found in results.items()
            }
            worst = max(apart, key=lambda form: apart[form])
            size = float(abs(values).max()) / wide if wide else 0.0
            print(f"  {name:22s} {part:22s} {apart[worst]:.1e} ({worst}); size {size:.0f} times the spread")


if __name__ == "__main__":
    main()
