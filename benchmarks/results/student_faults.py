"""What each fault of the student reproduction of AE-FLOW costs, at one reduced size on a development split.

The base is the preset aeflow-paper with the paper's chest X-ray values and SqueezeNet 1.1 at 128×128, 400
training normals, 6 epochs, one seed. Faults that change the model are fitted anew; faults of the
evaluation are computed from the base's readings. SqueezeNet has no batch normalisation: that fault is run
only where --batch-norm-encoder names an encoder that has, and whose weights are at hand.

    python benchmarks/results/development_split.py MANIFEST -o development.csv
    SECONDREAD_WEIGHTS=FOLDER python benchmarks/results/student_faults.py development.csv -o runs/faults
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from secondread.bundles.bundle import Bundle
from secondread.cohorts.manifest import Manifest
from secondread.evaluation.evaluate import evaluate
from secondread.fitting.fit import fit
from secondread.metrics.decisions import at_threshold
from secondread.metrics.precision_recall import best_f1
from secondread.metrics.roc import auroc
from secondread.readings.readings import Readings
from secondread.readings.score_into import score_into
from secondread.recipes.recipe import Recipe

BASE = [
    "detector.encoder.name=squeezenet1_1",
    "detector.flow.subnet=conv",
    "detector.decoder.hidden=[128, 64, 32]",
    "stages.flow.optimiser.lr=1e-3",
    "stages.flow.optimiser.weight_decay=0",
    "stages.flow.epochs=6",
    "preprocessing.size=[128, 128]",
    "cohorts.max_normal=400",
]
FAULTS = {
    "tanh in every decoder block, no 3×3": ["detector.decoder.form=student"],
    "no ImageNet statistics": ["detector.encoder.imagenet_statistics=false"],
    "both": ["detector.decoder.form=student", "detector.encoder.imagenet_statistics=false"],
}
BATCH = 16


def run(name: str, changes: list[str], manifest: Manifest, out: Path) -> tuple[np.ndarray, np.ndarray, dict]:
    """Labels and scores of the development test, and the metrics."""
    place = out / name.replace(" ", "-").replace("/", "")
    recipe = Recipe.load("aeflow-paper", set=[*BASE, *changes])
    bundle = Bundle.load(place / "bundle") if (place / "bundle").exists() else None
    bundle = bundle or fit(recipe, manifest, place / "bundle")
    score_into(bundle, manifest.source, place / "scores", where=["split=test"])
    readings = Readings.read(place / "scores")
    labels = {row.path: row.label == "abnormal" for row in manifest.rows}
    scored = [reading for reading in readings.rows if reading.score is not None]
    metrics = evaluate(place / "scores" / "readings.csv", manifest.source, bootstrap=200).metrics()
    return (
        np.array([labels[reading.path] for reading in scored]),
        np.array([float(reading.score or 0.0) for reading in scored]),
        metrics,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--batch-norm-encoder", help="resnet18, resnet50 or wide_resnet50_2")
    given = parser.parse_args()
    manifest = Manifest.read(given.manifest)
    faults = dict(FAULTS)
    if given.batch_norm_encoder:
        name = f"detector.encoder.name={given.batch_norm_encoder}"
        faults[f"{given.batch_norm_encoder}, frozen statistics"] = [name]
        faults[f"{given.batch_norm_encoder}, statistics in train mode"] = [
            name,
            "detector.encoder.batch_norm=train",
        ]
    print("| variant | AUROC | F1 | accuracy | sensitivity | specificity |")
    print("| --- | --- | --- | --- | --- | --- |")

    def row(name: str, values: list[float]) -> None:
        print(f"| {name} | " + " | ".join(f"{100 * value:.1f}" for value in values) + " |", flush=True)

    keys = ("auroc", "f1", "accuracy", "sensitivity", "specificity")
    labels, scores, metrics = run("base", [], manifest, given.output)
    row("base, calibrated threshold", [metrics[key] for key in keys])
    for name, changes in faults.items():
        _, _, changed = run(name, changes, manifest, given.output)
        row(name, [changed[key] for key in keys])
    threshold = best_f1(labels, scores).threshold
    for name, kept in {
        "threshold of the best F1 on the test set": np.arange(len(labels)),
        "the same, test set cut to whole batches per class": np.concatenate(
            [
                found[: len(found) // BATCH * BATCH]
                for found in (np.flatnonzero(~labels), np.flatnonzero(labels))
            ]
        ),
    }.items():
        decided = at_threshold(labels[kept], scores[kept], threshold)
        row(
            name,
            [
                auroc(labels[kept], scores[kept]),
                decided.f1,
                decided.accuracy,
                decided.sensitivity,
                decided.specificity,
            ],
        )


if __name__ == "__main__":
    main()
