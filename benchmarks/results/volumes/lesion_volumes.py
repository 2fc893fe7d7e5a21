"""Volumes with known lesions: normal volumes of your own with lesions put in, or drawn head CT phantoms.

    python benchmarks/results/volumes/lesion_volumes.py FOLDER_OR_MANIFEST -o OUT [--test 0.4] [--seed 0]
    python benchmarks/results/volumes/lesion_volumes.py --phantoms -o OUT [--volumes 120]

Writes `OUT/manifest.csv` with rows train/normal, train/abnormal (from which `cohorts.anomaly_rate` makes an
unlabelled mixture), test/normal and test/abnormal, the abnormal ones with masks. Every volume is used once,
in one role, and all are written the same way, on the values that the volume has anyway, so that only the
lesion tells them apart. Of a source manifest, the normal and unlabelled rows are taken, and not its splits.

A lesion adds `amount · sd · soft(1 - r) · (1 + texture)` to the voxels: r is the ellipsoid's own radius at
the voxel (1 on its surface), sd that of the foreground, amount ±0.5 to ±1.5, texture smooth noise. Its
largest semi-axis is 5 to 20 % of the foreground's smallest extent, in millimetres, and no semi-axis is
below 2 voxels. The same seed writes the same bytes.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import nibabel
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from secondread.cohorts.manifest import Manifest
from secondread.cohorts.phantoms.make import make_phantoms
from secondread.cohorts.row import Row, patient_of

Values = NDArray[np.float64]
Mask = NDArray[np.bool_]
EDGE, TEXTURE = 0.12, 0.15
TRIES = 8
ROLES = {
    "train/normal": ("train", "normal"), "train/abnormal": ("train", "abnormal"),
    "test/normal": ("test", "normal"), "test/abnormal": ("test", "abnormal"),
}  # fmt: skip


def put_lesions(
    values: Values, spacing: Sequence[float], generator: np.random.Generator
) -> tuple[Values, Mask, list[str]]:
    """The volume with one to three lesions, their mask, and `bright` or `dark` for each.

    values   `[*spatial]`, any scale
    spacing  millimetres between neighbours along each axis

    Raises ValueError where the foreground has no room for a single lesion.
    """
    inside = foreground(values)
    step = np.asarray(spacing, float)
    extent = min(float(np.ptp(where) + 1) * s for where, s in zip(np.nonzero(inside), step, strict=True))
    depth = ndimage.distance_transform_edt(np.pad(inside, 1), sampling=step)[(slice(1, -1),) * inside.ndim]
    deviation = float(values[inside].std())
    changed, mask = values.copy(), np.zeros(values.shape, bool)
    findings: list[str] = []
    wanted = int(generator.integers(1, 4))
    for _ in range(wanted * TRIES):
        largest = max(generator.uniform(0.05, 0.2) * extent, 2 * step.max())
        axes = np.maximum(largest * np.array([1.0, *generator.uniform(0.6, 1.0, 2)]), 2 * step.max())
        amount = generator.choice([-1.0, 1.0]) * generator.uniform(0.5, 1.5)
        apart = ndimage.distance_transform_edt(~mask, sampling=step) if mask.any() else np.inf
        room = np.argwhere((depth >= largest) & (apart > 1.5 * largest))
        if not len(room):
            continue
        radius = ellipsoid(values.shape, room[int(generator.integers(len(room)))], axes, step, generator)
        profile = 1 / (1 + np.exp(np.clip((radius - 1) / EDGE, -30, 30)))
        texture = ndimage.gaussian_filter(generator.standard_normal(values.shape), 1.0)
        texture *= TEXTURE / texture.std()
        changed += amount * deviation * profile * (1 + texture) * inside
        mask |= (profile > 0.5) & inside
        findings.append("bright" if amount > 0 else "dark")
        if len(findings) == wanted:
            break
    if not findings:
        raise ValueError(f"no room for a lesion in a foreground of smallest extent {extent:.3g} mm")
    return changed, mask, findings


def foreground(values: Values) -> Mask:
    """The largest piece above a tenth of the way from the 0.5th to the 99.5th percentile, holes filled."""
    low, high = np.percentile(values, [0.5, 99.5])
    pieces, count = ndimage.label(values > low + 0.1 * (high - low))
    if not count:
        return np.ones(values.shape, bool)
    largest = pieces == 1 + int(np.argmax(np.bincount(pieces.ravel())[1:]))
    return np.asarray(ndimage.binary_fill_holes(largest), bool)


def ellipsoid(
    shape: Sequence[int], centre: Values, axes: Values, step: Values, generator: np.random.Generator
) -> Values:
    """How far each voxel is from the centre, in semi-axes `axes` (millimetres) along random directions."""
    turn, _ = np.linalg.qr(generator.standard_normal((3, 3)))
    grid = np.meshgrid(*(np.arange(n, dtype=float) for n in shape), indexing="ij")
    away = np.stack([(g - c) * s for g, c, s in zip(grid, centre, step, strict=True)], axis=-1)
    radius: Values = np.linalg.norm(away @ turn / axes, axis=-1)
    return radius


def chosen_roles(
    patients: Sequence[str],
    test: float,
    test_abnormal: int | None,
    train_abnormal: int | None,
    generator: np.random.Generator,
) -> dict[str, str]:
    """Patient -> role. Half of the test and a fifth of train is abnormal where no number is given."""
    order = [patients[i] for i in generator.permutation(len(patients))]
    groups = {"test": order[: round(test * len(order))], "train": order[round(test * len(order)) :]}
    ill = {
        "test": len(groups["test"]) // 2 if test_abnormal is None else test_abnormal,
        "train": len(groups["train"]) // 5 if train_abnormal is None else train_abnormal,
    }
    for split, group in groups.items():
        if not 0 <= ill[split] < len(group):
            raise SystemExit(
                f"{ill[split]} abnormal of {len(group)} patients in {split}: no normals are left"
            )
    return {
        patient: f"{split}/{'abnormal' if place < ill[split] else 'normal'}"
        for split, group in groups.items()
        for place, patient in enumerate(group)
    }


def copies(source: Manifest, roles: Mapping[str, str], out: Path, seed: int) -> Iterator[Row]:
    """Write each volume, with lesions where its role says so; yield its row."""
    for number, row in enumerate(source.rows):
        if patient_of(row) not in roles:
            continue
        split, label = ROLES[roles[patient_of(row)]]
        volume = nibabel.load(source.reference(row))
        voxels = np.squeeze(np.asanyarray(volume.dataobj))
        if voxels.ndim != 3 or not np.isfinite(voxels).all():
            raise SystemExit(f"{row.path}: not a volume of three axes with finite voxels")
        values, mask_path, findings = voxels.astype(np.float64), "", list[str]()
        if label == "abnormal":
            generator = np.random.default_rng([seed, 1, number])
            try:
                values, mask, findings = put_lesions(values, volume.header.get_zooms()[:3], generator)
            except ValueError as error:
                raise SystemExit(f"{row.path}: {error}") from None
            mask_path = f"masks/{number:04d}.nii.gz"
            save(out / mask_path, mask.astype(np.uint8), volume)
        path, name = f"images/{number:04d}.nii.gz", Path(row.path).name
        save(out / path, at_levels(values, voxels), volume)
        finding, patient = ";".join(dict.fromkeys(findings)), row.patient_id or name.partition(".")[0]
        yield Row(path, split, label, finding, patient, row.study_id, mask_path, {"source": name})


def at_levels(values: Values, voxels: NDArray[np.generic]) -> NDArray[np.generic]:
    """Each value as the nearest that the volume's own voxels take: neither precision, nor range, nor how well
    the file compresses may tell a lesion. float32, or the voxels' own type where that is smaller."""
    levels = np.unique(voxels)
    place = np.searchsorted((levels[1:].astype(float) + levels[:-1]) / 2, values)
    kind = voxels.dtype if voxels.dtype.itemsize <= 4 else np.dtype(np.float32)
    return levels[place].astype(kind)


def save(path: Path, voxels: NDArray[np.generic], like: nibabel.Nifti1Image) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nibabel.Nifti1Image(voxels, like.affine)
    image.header.set_xyzt_units("mm")
    image.to_filename(path)


def normals(source: Path) -> Manifest:
    """Rows to take: of a manifest the normal and unlabelled ones, of a folder its NIfTI files."""
    if not source.is_dir():
        given = Manifest.read(source)
        rows = tuple(row for row in given.rows if row.label != "abnormal")
        return Manifest(rows, given.base, given.source)
    names = sorted(path.relative_to(source).as_posix() for path in source.rglob("*.nii*"))
    return Manifest(tuple(Row(name) for name in names), source.resolve())


def make_copies(source: Path, given: argparse.Namespace) -> Path:
    taken = normals(source)
    patients = sorted({patient_of(row) for row in taken.rows})
    generator = np.random.default_rng([given.seed, 0])
    if given.volumes is not None:
        patients = sorted(generator.permutation(patients)[: given.volumes].tolist())
    roles = chosen_roles(patients, given.test, given.test_abnormal, given.train_abnormal, generator)
    rows = tuple(copies(taken, roles, given.output, given.seed))
    return Manifest(rows, given.output.resolve()).write(given.output / "manifest.csv")


def draw_phantoms(given: argparse.Namespace) -> Path:
    count = given.volumes or 120
    test = round(given.test * count)
    test_abnormal = test // 2 if given.test_abnormal is None else given.test_abnormal
    train_abnormal = (count - test) // 5 if given.train_abnormal is None else given.train_abnormal
    return make_phantoms(
        given.output,
        seed=given.seed,
        rank=3,
        n_normal=count - test_abnormal - train_abnormal,
        n_test_normal=test - test_abnormal,
        n_abnormal=test_abnormal + train_abnormal,
        n_train_abnormal=train_abnormal,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("source", type=Path, nargs="?", help="folder with NIfTI files, or a manifest")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--phantoms", action="store_true", help="draw head CT phantoms instead")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--volumes", type=int, help="patients to take, drawn by seed; phantoms to draw (120)")
    parser.add_argument("--test", type=float, default=0.4, help="share of the patients")
    parser.add_argument("--test-abnormal", type=int, help="patients; half of the test where not given")
    parser.add_argument("--train-abnormal", type=int, help="patients; a fifth of train where not given")
    given = parser.parse_args()
    if given.phantoms == (given.source is not None):
        parser.error("give a folder or manifest of normal volumes, or --phantoms, not both")
    made = Manifest.read(draw_phantoms(given) if given.phantoms else make_copies(given.source, given))
    counts: dict[str, int] = defaultdict(int)
    for row in made.rows:
        counts[f"{row.split}/{row.label}"] += 1
    print(f"{made.source}: {', '.join(f'{counts[role]} {role}' for role in ROLES)}")


if __name__ == "__main__":
    main()
