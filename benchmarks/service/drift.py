"""How soon drift alarms, and how often it alarms where there is none.

    python benchmarks/service/drift.py kermany-cxr/manifest.csv -o OUT [--parts kermany months simulated]

kermany    detectors are fitted on 400 train normals; of the other train normals, one image for each patient,
           300 calibrate and the rest comes in, over `ORDERS` random orders. Test normals, which differ from
           train normals in how they were made, come in from the first study on, or after 100 train normals.
months     1,000 months of unshifted studies: train normals of Kermany (each month another order and another
           calibration set), and simulated ones in years of twelve months.
simulated  shifts of a known size, with their delays.

Promised is one false alarm a year of all watchers together at 5,000 studies a year, as by `secondread drift`.
Nothing is chosen from the figures. The table is printed, the chart of one order written to OUT.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from scipy import stats

import secondread
from secondread.cohorts.manifest import Manifest
from secondread.drawing.style import STYLE
from secondread.drift.chart import chart_size, draw_chart
from secondread.drift.cusum import Cusum
from secondread.drift.evidence import KINDS, Evidence, bets, normal_score
from secondread.drift.plan import Plan
from secondread.drift.watch import Change, Study, Watch
from secondread.readings.readings import Readings
from secondread.recipes.recipe import Recipe

PER_YEAR, STUDIES, RATE = 1.0, 5000.0, 0.05
MONTH = 417
CALIBRATION, BEFORE, ORDERS = 300, 100, 40
DETECTORS = ("spectrum", "pixel-1nn", "mean-intensity", "ae")


@dataclass(frozen=True)
class Pools:
    """Scores of one detector: train normals that it has not seen, and test normals, one for each patient."""

    train: np.ndarray
    test: np.ndarray


def watch(
    reference: Sequence[float], scores: Sequence[float], name: str, **plan: object
) -> tuple[Watch, list[Change]]:
    seen = Watch(Plan(PER_YEAR, STUDIES, tuple(reference), RATE, len(reference), **plan))
    changes = []
    for place, score in enumerate(scores):
        changes += seen.take(Study(f"{name} {place}", float(score)))
    return seen, changes


def first(changes: Sequence[Change], watchers: Sequence[str], after: int = 0) -> float:
    """The study of the first alarm, counted from the change; infinity for none."""
    found = [one.study - after for one in changes if one.watcher in watchers and one.study > after]
    return float(min(found, default=np.inf))


def told(delays: Sequence[float], of: int) -> str:
    """Median and quartiles, and how many alarm at all."""
    low, middle, high = (
        f"{value:.0f}" if np.isfinite(value) else f"> {of}"
        for value in np.quantile(delays, [0.25, 0.5, 0.75], method="higher")
    )
    return f"{middle} ({low} to {high}) | {np.isfinite(delays).mean():.0%}"


def pools(manifest: Path, out: Path) -> dict[str, Pools]:
    """Fit once, score everything that is normal; what is there already is taken."""
    rows = Manifest.read(manifest)
    found: dict[str, Pools] = {}
    for recipe in ("spectrum", "ae"):
        bundle, readings = out / recipe, out / f"{recipe}-readings"
        settings = ["preprocessing.size=[64, 64]", "cohorts.max_normal=500", "cohorts.calibration=0.1"]
        settings += ["stages.reconstruction.epochs=10"] if recipe == "ae" else []
        if not (readings / "run.json").exists():
            fitted = secondread.fit(Recipe.load(recipe, settings), rows, bundle, workers=0, progress=False)
            secondread.score(fitted, rows, readings, where=["label=normal"], workers=0, progress=False)
        table = Readings.read(readings)
        patients = {row.path: row.patient_id for row in rows}
        names = ("spectrum", "pixel-1nn", "mean-intensity") if recipe == "spectrum" else ("ae",)
        for name in names:
            known: set[str] = set()
            split: dict[str, list[float]] = {"train": [], "test": []}
            for row in table.rows:
                patient = patients.get(row.path) or row.path
                if row.seen or row.score is None or patient in known:
                    continue
                known.add(patient)
                value = row.score if name == recipe else row.baselines[name.replace("-", "_")]
                split[row.path.partition("/")[0]].append(value)
            found[name] = Pools(np.array(split["train"]), np.array(split["test"]))
    return found


def kermany(all_pools: dict[str, Pools], out: Path) -> Iterator[str]:
    yield (
        "| detector | train, test | higher | flagged at 5 % | from the first study | alarm "
        "| after 100 train normals | alarm |"
    )
    yield "| --- | --- | --- | --- | --- | --- | --- | --- |"
    for name, pool in all_pools.items():
        start, later, flagged = [], [], []
        for order in range(ORDERS):
            rng = np.random.default_rng(order)
            train, test = rng.permutation(pool.train), rng.permutation(pool.test)
            reference = train[:CALIBRATION]
            above = (reference[None, :] >= test[:, None]).sum(axis=1)
            flagged.append(float(((1 + above) / (CALIBRATION + 1) <= RATE).mean()))
            start.append(first(watch(reference, test, f"{name} {order}")[1], ("score", "cusum")))
            stream = np.concatenate([train[CALIBRATION : CALIBRATION + BEFORE], test])
            seen, changes = watch(reference, stream, f"{name} {order}")
            later.append(first(changes, ("score", "cusum"), BEFORE))
            if order == 0 and name == "spectrum":
                picture(out / "service-drift.png", "Kermany, spectrum", seen, changes)
        higher = float((pool.test[:, None] > pool.train[None, :]).mean())
        many = len(pool.test)
        yield (
            f"| `{name}` | {len(pool.train)}, {many} | {higher:.2f} | {np.mean(flagged):.1%} "
            f"| {told(start, many)} | {told(later, many)} |"
        )


def picture(place: Path, title: str, seen: Watch, changes: Sequence[Change]) -> None:
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=chart_size(1), layout="constrained")
        draw_chart(figure, [(title, tuple(seen.trace), changes)])
        figure.savefig(place, dpi=120, facecolor="white")


def explained(alarms: int, months: int, studies: float) -> str:
    """How many the promise explains: the 99 % quantile of a binomial number of months with an alarm."""
    rate = PER_YEAR * studies / STUDIES
    most = stats.binom.ppf(0.99, months, rate)
    kept = "yes" if alarms <= most else "NO"
    return f"{alarms} of {months} | {months * rate:.0f} | {most:.0f} | {kept}"


def months(all_pools: dict[str, Pools]) -> Iterator[str]:
    yield "| unshifted studies | months with an alarm | promised at most, on average | 99 % of that | kept |"
    yield "| --- | --- | --- | --- | --- |"
    for name, count in (("spectrum", 1000),):
        pool = all_pools[name]
        alarms = 0
        for month in range(count):
            train = np.random.default_rng(month).permutation(pool.train)
            stream = train[CALIBRATION : CALIBRATION + MONTH]
            alarms += bool(watch(train[:CALIBRATION], stream, f"{name} {month}")[1])
        what = f"Kermany, `{name}`, each month of {len(stream)} studies from its first one"
        yield f"| {what} | {explained(alarms, count, len(stream))} |"
    alarms = naive = 0
    for year in range(84):
        rng = np.random.default_rng([1, year])
        reference, stream = rng.normal(size=CALIBRATION), rng.normal(size=int(STUDIES))
        changes = watch(reference, stream, f"year {year}")[1]
        alarms += len({(one.study - 1) // MONTH for one in changes})
        naive += len(naive_months(reference, stream, np.random.default_rng([2, year])))
    yield f"| simulated, 84 years of twelve months | {explained(alarms, 84 * 12, MONTH)} |"
    taken = "the same, p-values of the fixed set taken as independent"
    yield f"| {taken} | {explained(naive, 84 * 12, MONTH)} |"


def naive_months(reference: np.ndarray, stream: np.ndarray, rng: np.random.Generator) -> set[int]:
    """In which months the same two watchers alarm where p-values against the fixed set are taken for
    independent and uniform ones."""
    ordered, sums, evidence = np.sort(reference), Cusum(), Evidence()
    known = Watch(Plan(PER_YEAR, STUDIES))
    above = len(ordered) - np.searchsorted(ordered, stream, side="right")
    found = set()
    for place, u in enumerate(((above + rng.uniform(size=len(stream))) / (len(ordered) + 1)).tolist()):
        shown = evidence.take(bets(u), KINDS, 1 / STUDIES, known.thresholds["score"])
        if sums.take(normal_score(u), known.limit) or shown:
            found.add(place // MONTH)
    return found


def simulated() -> Iterator[str]:
    yield (
        "| what changes, after 200 studies | score: median (quartiles) | alarm "
        "| CUSUM: median (quartiles) | alarm |"
    )
    yield "| --- | --- | --- | --- | --- |"
    most, before = 2000, 200

    def stream(
        change: Callable[[np.random.Generator, np.ndarray], np.ndarray],
    ) -> tuple[list[float], list[float]]:
        score, cusum = [], []
        for order in range(ORDERS):
            rng = np.random.default_rng([3, order])
            values = rng.normal(size=CALIBRATION + before + most)
            values[CALIBRATION + before :] = change(rng, values[CALIBRATION + before :])
            changes = watch(values[:CALIBRATION], values[CALIBRATION:], f"simulated {order}")[1]
            score.append(first(changes, ("score",), before))
            cusum.append(first(changes, ("cusum",), before))
        return score, cusum

    shifts: dict[str, Callable[[np.random.Generator, np.ndarray], np.ndarray]] = {
        "mean by 0.3 standard deviations": lambda _, z: z + 0.3,
        "mean by 0.5": lambda _, z: z + 0.5,
        "mean by 1": lambda _, z: z + 1,
        "standard deviation × 1.5": lambda _, z: z * 1.5,
        "standard deviation × 0.6": lambda _, z: z * 0.6,
        "slow trend: 1 in 1,000 studies": lambda _, z: z + np.arange(len(z)) / 1000,
        "slow trend: 1 in 5,000 studies": lambda _, z: z + np.arange(len(z)) / 5000,
    }
    for name, change in shifts.items():
        score, cusum = stream(change)
        yield f"| {name} | {told(score, most)} | {told(cusum, most)} |"
    yield from one_of_four()
    yield from prevalence()


def one_of_four() -> Iterator[str]:
    """Scanner 4 of 4 shifts by 1: all studies in one stream, or a stream for each scanner; delays in studies
    of all scanners."""
    alone, together = [], []
    for order in range(ORDERS):
        rng = np.random.default_rng([4, order])
        scanner, values = rng.integers(4, size=2200), rng.normal(size=2200)
        values[200:] += scanner[200:] == 3
        reference = rng.normal(size=CALIBRATION)
        together.append(first(watch(reference, values, f"together {order}")[1], ("score", "cusum"), 200))
        mine = np.flatnonzero(scanner == 3)
        seen = Watch(Plan(PER_YEAR / 4, STUDIES / 4, tuple(reference)))
        delays = [
            float(place - 199)
            for place in mine
            if seen.take(Study(f"alone {order} {place}", float(values[place]))) and place >= 200
        ]
        alone.append(min(delays, default=np.inf))
    yield f"| one scanner of four by 1, its own stream (either) | {told(alone, 2000)} | | |"
    yield f"| one scanner of four by 1, all in one stream (either) | {told(together, 2000)} | | |"


def prevalence() -> Iterator[str]:
    """Abnormal studies, by 1.5 higher, from 10 to 20 % of a stream, compared with its own beginning."""
    score, cusum = [], []
    for order in range(ORDERS):
        rng = np.random.default_rng([5, order])
        abnormal = rng.uniform(size=3000) < np.where(np.arange(3000) < 1000, 0.1, 0.2)
        values = rng.normal(size=3000) + 1.5 * abnormal
        changes = watch((), values, f"prevalence {order}")[1]
        score.append(first(changes, ("score",), 1000))
        cusum.append(first(changes, ("cusum",), 1000))
    what = "abnormal studies from 10 to 20 %, own beginning of 1,000"
    yield f"| {what} | {told(score, 2000)} | {told(cusum, 2000)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--parts", nargs="+", default=["kermany", "months", "simulated"])
    given = parser.parse_args()
    given.output.mkdir(parents=True, exist_ok=True)
    for part in given.parts:
        begun = time.process_time()
        if part == "simulated":
            lines = simulated()
        else:
            scores = pools(given.manifest, given.output)
            lines = kermany(scores, given.output) if part == "kermany" else months(scores)
        for line in lines:
            print(line, flush=True)
        print(f"({part}: {time.process_time() - begun:.0f} s of processor time)\n", flush=True)


if __name__ == "__main__":
    main()
