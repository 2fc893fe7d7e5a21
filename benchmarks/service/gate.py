"""Which images the gate on content refuses, right ones and wrong ones.

    python benchmarks/service/gate.py DATA -o OUT

DATA holds `kermany-cxr`, `lgg-mri`, `head-ct`, `dicom-zoo` and `dicom-series`, the first two with their
manifests. Two `spectrum` bundles are fitted: on 700 normal training films, and on 450 tumour-free slices of
20 patients. Of the other training films 400 with pneumonia are development: the limits are the 99.5 %
quantiles of their figures, rounded, and are printed first. All else is a table of how many are refused, at
the limits that the service has.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import secondread
from secondread.bundles.bundle import Bundle
from secondread.cohorts.manifest import Manifest
from secondread.cohorts.row import Row
from secondread.images.image import ImageError
from secondread.images.read import read_image
from secondread.recipes.recipe import Recipe
from secondread.service.reading.gate import Gate, Look
from secondread.service.settings.bundles import GateSettings

Change = Callable[[NDArray[np.float32]], NDArray[np.float32]]
SIZE = "preprocessing.size=[128, 128]"
CHANGES: dict[str, Change] = {
    "turned to the left": lambda pixels: np.rot90(pixels, 1, (1, 2)),
    "turned to the right": lambda pixels: np.rot90(pixels, 3, (1, 2)),
    "turned by half": lambda pixels: np.rot90(pixels, 2, (1, 2)),
    "upside down": lambda pixels: pixels[:, ::-1],
    "mirrored": lambda pixels: pixels[..., ::-1],
    "black and white exchanged": lambda pixels: pixels.min() + pixels.max() - pixels,
    "middle half": lambda pixels: pixels[:, 32:96, 32:96].repeat(2, axis=1).repeat(2, axis=2),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    given = parser.parse_args()
    films(given.data, given.output)
    slices(given.data, given.output)


def films(data: Path, out: Path) -> None:
    manifest = Manifest.read(data / "kermany-cxr" / "manifest.csv")
    normals = drawn(manifest, 0, split="train", label="normal")
    sick = drawn(manifest, 1, split="train", label="abnormal")
    bundle = fitted(normals[:700], out / "films")
    gate = Gate.of(bundle, GateSettings())
    looks = looked(bundle, gate, sick[:400])
    for name in ("distance", "turned"):
        quantile = np.quantile([look.figures[name] for look in looks], 0.995)
        print(f"films: 99.5 % of 400 with pneumonia have a {name} of at most {quantile:.3f}")
    test = {label: drawn(manifest, 1, split="test", label=label) for label in ("normal", "abnormal")}
    for label, files in test.items():
        told("films", f"test {label}", looked(bundle, gate, files))
    told("films", "other training pneumonia", looked(bundle, gate, sick[400:800]))
    for what, change in CHANGES.items():
        told("films", what, looked(bundle, gate, test["normal"][:100] + test["abnormal"][:100], change))
    for folder, most in (
        ("lgg-mri/flair", 200),
        ("head-ct", 140),
        ("dicom-zoo", 1_000),
        ("dicom-series", 60),
    ):
        told("films", folder, looked(bundle, gate, files_below(data / folder, most)))


def slices(data: Path, out: Path) -> None:
    manifest = Manifest.read(data / "lgg-mri" / "manifest.csv")
    patients = sorted({row.patient_id for row in manifest.rows})
    random.Random(0).shuffle(patients)
    known = set(patients[:20])
    bundle = fitted(drawn(manifest, 1, known, label="normal")[:450], out / "slices")
    gate = Gate.of(bundle, GateSettings())
    others = {label: drawn(manifest, 2, set(patients[20:]), label=label) for label in ("normal", "abnormal")}
    for label, files in others.items():
        told("slices", label, looked(bundle, gate, files[:200]))
    for what in ("turned to the left", "turned by half", "black and white exchanged"):
        some = others["normal"][:60] + others["abnormal"][:60]
        told("slices", what, looked(bundle, gate, some, CHANGES[what]))
    for folder in ("kermany-cxr/test/normal", "head-ct"):
        told("slices", folder, looked(bundle, gate, files_below(data / folder, 60)))


def drawn(
    manifest: Manifest, seed: int, patients: Iterable[str] = (), **wanted: str
) -> list[tuple[str, Row]]:
    """References and rows in a random order."""
    chosen = set(patients)
    rows = [
        (manifest.reference(row), row)
        for row in manifest.rows
        if all(getattr(row, name) == value for name, value in wanted.items())
        and (not chosen or row.patient_id in chosen)
    ]
    random.Random(seed).shuffle(rows)
    return rows


def files_below(folder: Path, most: int) -> list[tuple[str, Row]]:
    texts = (".csv", ".md", ".txt")
    found = sorted(str(path) for path in folder.rglob("*") if path.is_file() and path.suffix not in texts)
    random.Random(1).shuffle(found)
    return [(path, Row(path)) for path in found[:most]]


def fitted(normals: Sequence[tuple[str, Row]], out: Path) -> Bundle:
    rows = [
        Row(reference, split="train", label="normal", patient_id=row.patient_id) for reference, row in normals
    ]
    recipe = Recipe.load("spectrum", set=[SIZE])
    manifest = Manifest(tuple(rows), Path("/"))
    return secondread.fit(recipe, manifest, out, workers=1, progress=False)


def looked(
    bundle: Bundle,
    gate: Gate,
    files: Sequence[tuple[str, Row]],
    change: Change = lambda pixels: pixels,
) -> list[Look]:
    """What the gate says of each image that can be read as one picture."""
    found = []
    for reference, _ in files:
        try:
            (image,) = bundle.prepare([read_image(reference)])
        except ImageError:
            continue
        pixels = np.ascontiguousarray(change(image.pixels), np.float32)
        found.append(gate.look(replace(image, pixels=pixels)))
    return found


def told(bundle: str, what: str, looks: Sequence[Look]) -> None:
    refused = sum(bool(look.problem) for look in looks)
    print(f"{bundle:8} {what:28} {len(looks):4} images, {refused:4} refused", flush=True)


if __name__ == "__main__":
    main()
