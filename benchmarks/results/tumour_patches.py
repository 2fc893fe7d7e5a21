"""Two glioma patients, each mapped in 3-D by a bundle fitted on the other's patches without tumour.

    python benchmarks/results/tumour_patches.py brats2013 -o OUT [--recipe RECIPE] [--seed 0]

A demonstration, not a result: one patient teaches one bundle, and patches of one patient are not independent,
so that neither the threshold nor the figures say anything of other patients.

`brats2013` holds a folder for each patient with `Flair_subtrMeanDivStd.nii.gz` (in standard deviations of the
brain), `brainmask.nii.gz` and `OTMultiClass.nii.gz` (tumour where it is above 0). Cubes of 48 voxels at half
overlap that lie in the brain to at least a half and hold no tumour are the normals of the one patient; each
counts as a patient of its own. The other's whole volume is read by tiles. Voxels outside the brain are -4.
Written: `OUT/on-NAME.csv`, `OUT/bundle-NAME`, `OUT/readings-NAME` and `OUT/report-NAME` for each patient NAME
that teaches.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import nibabel
import numpy as np
from rows import command

SIDE = 48
AIR = -4.0


def read(folder: Path) -> tuple[nibabel.Nifti1Image, np.ndarray, np.ndarray]:
    """The FLAIR image, its values with air outside the brain, and where there is tumour."""
    image = nibabel.load(folder / "Flair_subtrMeanDivStd.nii.gz")
    brain = np.asarray(nibabel.load(folder / "brainmask.nii.gz").dataobj) > 0.5
    tumour = np.asarray(nibabel.load(folder / "OTMultiClass.nii.gz").dataobj) > 0.5
    values = np.where(brain, np.asarray(image.dataobj, dtype=np.float32), np.float32(AIR))
    return image, values, tumour


def write(values: np.ndarray, like: nibabel.Nifti1Image, corner: tuple[int, ...], path: Path) -> Path:
    affine = like.affine.copy()
    affine[:3, 3] = (affine @ (*corner, 1))[:3]
    nibabel.save(nibabel.Nifti1Image(values, affine), path)
    return path


def cubes(values: np.ndarray, tumour: np.ndarray) -> list[tuple[int, ...]]:
    """The corners of cubes in the brain that hold no tumour."""
    found = []
    for corner in np.ndindex(*(max((side - SIDE) // (SIDE // 2) + 1, 0) for side in values.shape)):
        start = tuple(int(step) * (SIDE // 2) for step in corner)
        where = tuple(slice(at, at + SIDE) for at in start)
        if (values[where] > AIR).mean() >= 0.5 and not tumour[where].any():
            found.append(start)
    return found


def prepare(patients: list[Path], out: Path) -> dict[str, Path]:
    """Manifest by the name of the patient who teaches."""
    given = {folder.name: read(folder) for folder in patients}
    manifests = {}
    for name, (image, values, tumour) in given.items():
        rows = []
        (out / name).mkdir(parents=True, exist_ok=True)
        for corner in cubes(values, tumour):
            where = tuple(slice(at, at + SIDE) for at in corner)
            path = out / name / ("cube-" + "-".join(map(str, corner)) + ".nii.gz")
            rows.append((write(values[where], image, corner, path), "train", "normal", path.stem, ""))
        for other, (whole, seen, marked) in given.items():
            if other != name:
                (out / other).mkdir(exist_ok=True)
                scan = write(seen, whole, (0, 0, 0), out / other / "whole.nii.gz")
                mask = write(marked.astype(np.uint8), whole, (0, 0, 0), out / other / "tumour.nii.gz")
                rows.append((scan, "test", "abnormal", other, mask))
        manifests[name] = out / f"on-{name}.csv"
        with manifests[name].open("w", newline="") as file:
            table = csv.writer(file)
            table.writerow(["path", "split", "label", "patient_id", "mask"])
            table.writerows(
                (path.relative_to(out), split, label, patient, mask and Path(mask).relative_to(out))
                for path, split, label, patient, mask in rows
            )
    return manifests


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--recipe", default=str(Path(__file__).with_name("tumour_patches.yaml")))
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    out = given.output
    patients = sorted(folder for folder in given.folder.iterdir() if folder.is_dir())
    for name, manifest in prepare(patients, out).items():
        bundle, readings = out / f"bundle-{name}", out / f"readings-{name}"
        seed = ["--seed", str(given.seed)]
        command(["fit", given.recipe, str(manifest), "-o", str(bundle), *seed])
        command(["score", str(bundle), str(manifest), "--where", "split=test", "--maps", "-o", str(readings)])
        table = str(readings / "readings.csv")
        command(["evaluate", table, str(manifest), "-o", str(out / f"report-{name}")])


if __name__ == "__main__":
    main()
