"""Which figure without labels ranks methods as their test does: docs/results/label-free-choice.md.

    python benchmarks/results/label_free_choice.py measure COMPARISON … -o MEASURED/SET
    python benchmarks/results/label_free_choice.py judge MEASURED/SET …
    python benchmarks/results/label_free_choice.py readings COMPARISON …

`measure` takes finished comparisons of one data set (with `runs/NAME/seed-0/bundle` and readings) and
writes one file for each method: scores of held-out normals, of the same with drawn anomalies, of unlabelled
images, and of the test rows as the comparison's readings have them. Files that are there are left alone, so
it may be stopped and gone on with. `judge` compares criteria with the test's AUROC over the sets given.
`readings` sets the test images, labels hidden, against the calibration's normals: that needs no scoring.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file
from scipy.stats import rankdata

from secondread.anomalies.build import build_anomalies
from secondread.bundles.bundle import CALIBRATION, Bundle
from secondread.bundles.decisions import combined
from secondread.calibration.complexity import with_complexity
from secondread.cohorts.cohorts import build_cohorts
from secondread.cohorts.manifest import Manifest
from secondread.cohorts.row import Row
from secondread.cohorts.unlabelled import shuffled, with_labels_hidden
from secondread.comparison.judging.results import Results, read_results
from secondread.detectors.trivial import BASELINES
from secondread.fitting.planning import LearnsFrom
from secondread.metrics.roc import auroc
from secondread.preprocessing.cache.place import open_cache
from secondread.preprocessing.prepared_set import prepare_set
from secondread.training.seeds import seeded_generator

KINDS = ("fpi", "pii", "nsa", "blobs", "cutpaste", "deformation", "draem", "bias")
CHANGED, UNLABELLED, OWN = 24, 16, 48
"""Changed images of each kind, unlabelled normals that no fit has seen, and images of a fit's own unlabelled
cohort, at most."""
SLOW_SECONDS, COSTLY_SECONDS = 0.015, 0.15
"""A method whose score of an image takes longer has half of the changed images, or a quarter; one whose map
takes longer than the second has no maps here."""
NO_CANDIDATES = (*BASELINES, "supervised")
LEVELS = (5, 95)
IMAGE_DRAWS, METHOD_DRAWS = 30, 12
"""Of images, and of methods for each of these."""
Floats = NDArray[np.float64]


def measure(folders: Sequence[Path], out: Path, leave_out: Sequence[str]) -> None:
    """Every method of seed 0, the quick ones first."""
    out.mkdir(parents=True, exist_ok=True)
    every = [(folder, read_results(folder)) for folder in folders]
    runs = [
        (folder, results, run)
        for folder, results in every
        for run in results.runs
        if not run.run.seed
        and not run.run.contamination
        and run.run.method not in (*NO_CANDIDATES, *leave_out)
    ]
    for folder, results, run in sorted(runs, key=lambda one: one[2].cost.score_seconds):
        file = out / f"{run.run.method}.json"
        if file.exists():
            continue
        begun = time.monotonic()
        found = of_bundle(folder / run.run.place / "bundle", results, run.cost.score_seconds)
        found |= {
            "method": run.run.method,
            "folder": folder.name,
            "test": run.scores.tolist(),
            "abnormal": results.images.abnormal.tolist(),
            "patients": results.images.patients.tolist(),
        }
        file.write_text(json.dumps(found))
        print(f"{file}: {time.monotonic() - begun:.0f} s", flush=True)


def of_bundle(place: Path, results: Results, seconds: float) -> dict[str, Any]:
    bundle = Bundle.load(place)
    manifest = Manifest.read(results.plan.manifest.source).where(*results.plan.where)
    cohorts = build_cohorts(
        manifest, bundle.recipe.cohorts, bundle.recipe.seed,
        without_normals="normal" not in LearnsFrom.of(bundle.detector).takes,
    )  # fmt: skip
    part = 4 if seconds > COSTLY_SECONDS else 2 if seconds > SLOW_SECONDS else 1
    taken = {row.path for name in ("unlabelled", "abnormal") for row in getattr(cohorts, name)}
    spare = [row for row in manifest.rows if row.split == "train" and row.label == "abnormal"]
    spare = [row for row in spare if row.path not in taken]
    unseen = shuffled(cohorts.validation, 0, 101)[:UNLABELLED]
    unseen += with_labels_hidden(shuffled(spare, 0, 102)[: len(unseen)])
    rows = {
        "normal": shuffled(cohorts.calibration, 0, 100)[: CHANGED // part],
        "unseen": unseen,
        "own": shuffled(cohorts.unlabelled, 0, 103)[:OWN],
    }
    images = {name: prepared(bundle, manifest, own) for name, own in rows.items() if own}
    scores = {name: scored(bundle, *own)[0].tolist() for name, own in images.items()}
    changed, pixels = {}, {}
    quick = map_seconds(bundle, *images["normal"]) < COSTLY_SECONDS
    for kind in KINDS:
        changed[kind], pixels[kind] = drawn(bundle, *images["normal"], kind, CHANGED // part, maps=quick)
    return {
        **scores,
        "held_out": bundle.calibration.images.scores.tolist(),
        "rate": bundle.recipe.cohorts.anomaly_rate,
        "learns_unlabelled": "unlabelled" in LearnsFrom.of(bundle.detector).takes,
        "trained_on": sorted(kinds_in(bundle.recipe.detector)),
        "changed": changed,
        "pixels": pixels,
        "size": list(bundle.recipe.preprocessing.size),
    }


Images = tuple[NDArray[np.float32], NDArray[np.bool_] | None, list[str]]


def prepared(bundle: Bundle, manifest: Manifest, rows: Sequence[Row]) -> Images:
    references = [manifest.reference(row) for row in rows]
    found = prepare_set(references, bundle.preprocessing, cache=open_cache(None), workers=0)
    return (*found.batch(range(len(found))), found.digests)


def scored(
    bundle: Bundle, pixels: NDArray[np.float32], valid: NDArray[np.bool_] | None, digests: Sequence[str],
    *, maps: bool = False,
) -> tuple[Floats, NDArray[np.float32] | None]:  # fmt: skip
    maps = maps and bundle.calibration.maps is not None
    raw = bundle.scorer.batch(pixels, valid, digests, maps=maps)
    raw = with_complexity(raw, pixels, bundle.calibration.settings)
    shown = bundle.calibration.combine_maps(raw) if maps and raw.maps else None
    return combined(raw, bundle.calibration.combine), shown


def map_seconds(
    bundle: Bundle, pixels: NDArray[np.float32], valid: NDArray[np.bool_] | None, digests: Sequence[str]
) -> float:
    """Of the processor, for one image's score and map."""
    begun = time.process_time()
    scored(bundle, pixels[:1], None if valid is None else valid[:1], digests[:1], maps=True)
    return time.process_time() - begun


def drawn(
    bundle: Bundle, pixels: NDArray[np.float32], valid: NDArray[np.bool_] | None, digests: Sequence[str],
    kind: str, count: int, *, maps: bool,
) -> tuple[list[tuple[int, float]], list[float]]:  # fmt: skip
    """Scores of changed images, each with its original's number, and the AUROC within each by its map."""
    make = build_anomalies({"name": kind, "share": 1.0}, kind)
    found: list[tuple[int, float]] = []
    areas: list[float] = []
    for turn in range(-(-count // len(pixels))):
        chosen = slice(0, min(count - turn * len(pixels), len(pixels)))
        inside = None if valid is None else torch.from_numpy(valid[chosen])
        images = torch.from_numpy(pixels[chosen])
        if len(images) < 2:
            continue
        made = make(images, seeded_generator("label-free choice", kind, turn), valid=inside)
        differs = (made.images != images).flatten(1).any(dim=1).numpy()
        mask = made.mask[:, 0].numpy()
        own = None if valid is None else valid[chosen]
        scores, shown = scored(bundle, made.images.numpy(), own, digests[chosen], maps=maps)
        for number in np.flatnonzero(differs):
            found.append((int(number), float(scores[number])))
            if shown is None:
                continue
            area = np.ones(mask[number].shape, bool) if own is None else own[number, 0]
            label, values = mask[number][area], shown[number][area]
            if label.any() and not label.all() and np.isfinite(values).all():
                areas.append(auroc(label, values))
    return found, areas


def kinds_in(settings: Any) -> Iterator[str]:
    """Kinds of anomalies that a detector's settings name, at any depth."""
    if isinstance(settings, Mapping):
        if settings.get("name") in KINDS:
            yield str(settings["name"])
        for value in settings.values():
            yield from kinds_in(value)
    elif isinstance(settings, list | tuple):
        for value in settings:
            yield from kinds_in(value)


# judging


class Method:
    """One file of `measure`; `draw` gives the criteria, of the images as they are or of some drawn again."""

    def __init__(self, said: Mapping[str, Any]) -> None:
        self.name, self.folder = said["method"], said["folder"]
        self.learns_unlabelled, self.trained_on = said["learns_unlabelled"], set(said["trained_on"])
        self.held_out, self.originals = np.array(said["held_out"]), np.array(said["normal"], float)
        self.unlabelled = {name: np.array(said[name], float) for name in ("unseen", "own") if said.get(name)}
        self.changed = {
            kind: np.array(pairs, float).reshape(-1, 2) for kind, pairs in said["changed"].items()
        }
        self.pixels = {kind: np.array(areas, float) for kind, areas in said["pixels"].items()}
        self.test, self.abnormal = np.array(said["test"], float), np.array(said["abnormal"], bool)

    @property
    def auroc(self) -> float:
        return auroc(self.abnormal, self.test)

    def values(self, random: np.random.Generator | None = None) -> dict[str, float]:
        """NaN where there is none."""
        normal, found = self.held_out[drawn_again(len(self.held_out), random)], dict[str, float]()
        kinds = [kind for kind in KINDS if kind not in self.trained_on and len(self.changed[kind])]
        for kind in kinds:
            pairs = self.changed[kind][drawn_again(len(self.changed[kind]), random)]
            own = self.originals[pairs[:, 0].astype(int)]
            found[f"synthetic {kind}"] = area(normal, pairs[:, 1])
            found[f"paired {kind}"] = float(np.mean((pairs[:, 1] > own) + 0.5 * (pairs[:, 1] == own)))
            areas = self.pixels[kind]
            found[f"pixels {kind}"] = (
                float(areas[drawn_again(len(areas), random)].mean()) if len(areas) else np.nan
            )
        for name in ("synthetic", "paired", "pixels"):
            found[name] = float(np.mean([found[f"{name} {kind}"] for kind in kinds])) if kinds else np.nan
        for name in ("unseen", "own"):
            others = self.unlabelled.get(name)
            found[f"aucp {name}"] = (
                np.nan if others is None else area(normal, others[drawn_again(len(others), random)])
            )
        found["aucp test"] = area(normal, self.test[drawn_again(len(self.test), random)])
        return found


def area(normal: Floats, others: Floats) -> float:
    if not len(others) or not (np.isfinite(normal).all() and np.isfinite(others).all()):
        return float("nan")
    return auroc(np.repeat([False, True], [len(normal), len(others)]), np.concatenate([normal, others]))


def drawn_again(count: int, random: np.random.Generator | None) -> NDArray[np.int64]:
    return np.arange(count) if random is None else random.integers(0, count, count)


def criteria(
    methods: Sequence[Method], aucp: str, random: np.random.Generator | None = None
) -> dict[str, Floats]:
    """Criterion -> one value for each method, higher = better."""
    every = [method.values(random) for method in methods]
    found = {
        name: np.array([values.get(name, np.nan) for values in every])
        for name in dict.fromkeys(name for values in every for name in values)
    }
    found["aucp"] = found[f"aucp {aucp}"]
    for first in ("synthetic", "paired"):
        found[f"{first}+aucp"] = (ranks(found[first]) + ranks(found["aucp"])) / 2
    found["consensus"] = consensus(methods, aucp, random)
    return found


def ranks(values: Floats) -> Floats:
    found = np.full(len(values), np.nan)
    there = np.isfinite(values)
    found[there] = rankdata(values[there])
    return found


def consensus(methods: Sequence[Method], aucp: str, random: np.random.Generator | None) -> Floats:
    """Of those that scored the same unlabelled images."""
    scores = [m.unlabelled.get(aucp, np.array([])) for m in methods]
    length = max(map(len, scores))
    chosen = drawn_again(length, random)
    by = {i: rankdata(s[chosen]) for i, s in enumerate(scores) if len(s) == length and np.isfinite(s).all()}
    total = np.sum(list(by.values()), axis=0)
    found = np.full(len(methods), np.nan)
    for i, own in by.items():
        found[i] = rho(own, total - own)
    return found


def rho(first: Floats, second: Floats) -> float:
    there = np.isfinite(first) & np.isfinite(second)
    if there.sum() < 3 or not np.ptp(first[there]) or not np.ptp(second[there]):
        return float("nan")
    return float(np.corrcoef(rankdata(first[there]), rankdata(second[there]))[0, 1])


def regret(value: Floats, test: Floats) -> float:
    return float(test.max() - test[int(np.nanargmax(value))]) if np.isfinite(value).any() else float("nan")


SHOWN = (
    "synthetic", "paired", "pixels", "aucp", "synthetic+aucp", "paired+aucp", "consensus",
    "aucp unseen", "aucp own", "aucp test",
    *(f"{how} {kind}" for how in ("synthetic", "paired", "pixels") for kind in KINDS),
)  # fmt: skip


def judge(folders: Sequence[Path], aucp: str, without: str) -> None:
    sets = {}
    for folder in folders:
        methods = [Method(json.loads(file.read_text())) for file in sorted(folder.glob("*.json"))]
        if without == "unlabelled":
            methods = [m for m in methods if not m.learns_unlabelled]
        elif without:
            methods = [m for m in methods if without not in m.folder]
        sets[folder.name] = methods
    tests = {name: np.array([m.auroc for m in methods]) for name, methods in sets.items()}
    for name, methods in sets.items():
        best, area_of_best = int(np.argmax(tests[name])), tests[name].max()
        drawn_one = float(np.mean(area_of_best - tests[name]))
        print(
            f"{name}: {len(methods)} methods, AUROC {tests[name].min():.3f} to {area_of_best:.3f} "
            f"({methods[best].name}), regret of one drawn by chance {drawn_one:.3f}"
        )
    now = {name: criteria(methods, aucp) for name, methods in sets.items()}
    random = np.random.default_rng(0)
    draws: dict[str, list[float]] = {criterion: [] for criterion in SHOWN}
    for _ in range(IMAGE_DRAWS):
        again = {name: criteria(methods, aucp, random) for name, methods in sets.items()}
        for _ in range(METHOD_DRAWS):
            chosen = {name: random.integers(0, len(methods), len(methods)) for name, methods in sets.items()}
            for criterion in SHOWN:
                found = [rho(again[n][criterion][chosen[n]], tests[n][chosen[n]]) for n in sets]
                draws[criterion].append(float(np.mean(found)))
    names = " | ".join(f"{name}: rank correlation, pick, regret" for name in sets)
    print(f"| criterion | mean rank correlation (90 %) | mean regret | {names} |")
    for criterion in SHOWN:
        correlations = [rho(now[name][criterion], tests[name]) for name in sets]
        lost = [regret(now[name][criterion], tests[name]) for name in sets]
        cells = []
        for name, r, g in zip(sets, correlations, lost, strict=True):
            value = now[name][criterion]
            pick = sets[name][int(np.nanargmax(value))].name if np.isfinite(value).any() else "–"
            cells.append(f"{r:.2f}, `{pick}`, {g:.3f}")
        finite = [value for value in draws[criterion] if np.isfinite(value)]
        low, high = np.percentile(finite, LEVELS) if finite else (np.nan, np.nan)
        print(
            f"| `{criterion}` | {np.mean(correlations):.2f} ({low:.2f} to {high:.2f}) | {np.mean(lost):.3f} "
            f"| {' | '.join(cells)} |"
        )


def readings(folders: Sequence[Path]) -> None:
    """AUCp of the test images, from what the comparisons hold."""
    names: list[str] = []
    tests: list[float] = []
    values: list[float] = []
    for folder in folders:
        results = read_results(folder)
        for run in results.runs:
            if run.run.seed or run.run.contamination or run.run.method in (*NO_CANDIDATES, *names):
                continue
            held_out = load_file(folder / run.run.place / "bundle" / CALIBRATION)["image_scores"]
            names.append(run.run.method)
            tests.append(auroc(results.images.abnormal, run.scores))
            values.append(area(held_out, run.scores))
    test, value = np.array(tests), np.array(values)
    print(
        f"{len(names)} methods, rank correlation {rho(value, test):.2f}, picks {names[int(value.argmax())]}, "
        f"regret {regret(value, test):.3f} of {test.max():.3f} ({names[int(test.argmax())]})"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("what", choices=["measure", "judge", "readings"])
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("-o", "--output", type=Path)
    parser.add_argument("--leave-out", nargs="*", default=[], help="methods that are not measured")
    parser.add_argument(
        "--aucp", choices=["unseen", "own"], default="unseen", help="of which unlabelled images"
    )
    parser.add_argument(
        "--without", default="", help="unlabelled = methods that learn from them; or folders so named"
    )
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.what == "measure":
        measure(given.folders, given.output, given.leave_out)
    elif given.what == "readings":
        readings(given.folders)
    else:
        judge(given.folders, given.aucp, given.without)


if __name__ == "__main__":
    main()
