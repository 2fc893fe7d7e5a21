"""Commands killed at random moments: what they leave, and whether the same command goes on.

    python benchmarks/machines/kills.py [--kills 40] [--commands fit score …] [--seed 0] [--json OUT]

Each command is killed so many times with `kill -9` and as often stopped with SIGINT, each time at a random
moment of its usual duration, and then run again, the same, until it ends by itself. In a comparison, which is
killed several times before it may end, half of the signals go to one of its tasks. Then it must be whole: the
output of an undisturbed run, no row lost, doubled or other, nothing left of what was under way, no process
that lives on. SIGINT must end it with status 130 and one line.

The commands run with `main()` in children of this process, which has imported everything, so that a moment is
one of their work and not of their start. Phantoms and small detectors: the figures say that nothing is lost,
and nothing about patients.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median

from killed_command import Ended, import_everything, run

STARTS = 20
"""How often a command may be begun until it ends by itself."""
MANY = 5
"""Signals of a kind from which on the usual duration is the median of three runs."""
TOLERANCE = 1e-4
"""Between scores of a run in one go and of one that was continued, whose batches are others."""
UNDER_WAY = (".writing", ".tmp", ".lock", ".partial")
SMALL = ["preprocessing.size=[32,32]", "cohorts.validation=0.2", "cohorts.calibration=0.3"]
AE = [
    *SMALL, "detector.network.width=4", "detector.network.hidden=16", "precision=float32",
    "stages.reconstruction.epochs=4", "stages.reconstruction.batch_size=8",
]  # fmt: skip


@dataclass
class Tally:
    """What became of one command.

    kills, stops  signals that reached it at work: `kill -9` and SIGINT
    ended         runs that ended by themselves afterwards, whole
    lost, doubled, other  rows that are missing, stand twice, or differ from an undisturbed run's
    stuck         runs that the same command did not bring to their end
    leftovers     files and folders of work under way that stayed
    orphans       processes that lived on
    unclean       runs that SIGINT ended otherwise than with status 130 and one line
    stop_seconds  from SIGINT to the end
    problems      what was wrong, in words
    """

    kills: int = 0
    stops: int = 0
    ended: int = 0
    lost: int = 0
    doubled: int = 0
    other: int = 0
    stuck: int = 0
    leftovers: int = 0
    orphans: int = 0
    unclean: int = 0
    stop_seconds: list[float] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def faults(self) -> int:
        return (
            self.lost + self.doubled + self.other + self.stuck + self.leftovers + self.orphans + self.unclean
        )


@dataclass(frozen=True)
class Job:
    """One command.

    line     its words, with `-o OUT` for the output
    parts    what the output holds that must be equal, by name
    chained  signals before it may end
    """

    name: str
    line: Callable[[Path], list[str]]
    parts: Callable[[Path], dict[str, list[str]]]
    chained: int = 1


def try_out(job: Job, place: Path, kills: int, seed: int) -> Tally:
    """Kill a command so often with each signal, and look at what comes of it."""
    tally = Tally()
    draw = random.Random(f"{job.name} {seed}")
    log = place / f"{job.name}.log"
    usual = []
    for number in range(3 if kills >= MANY else 1):
        out = place / job.name / f"undisturbed-{number}"
        done = run(job.line(out), log, after=None, number=0)
        if done.status != 0:
            raise RuntimeError(f"{job.name}: {done.said}")
        usual.append(done.seconds)
    whole = job.parts(place / job.name / "undisturbed-0")
    duration = median(usual)
    wanted = [signal.SIGKILL] * kills + [signal.SIGINT] * kills
    draw.shuffle(wanted)
    trial = 0
    while wanted:
        trial += 1
        out = place / job.name / f"trial-{trial}"
        for _ in range(STARTS):
            number = wanted[-1] if wanted and tally.kills + tally.stops < trial * job.chained else None
            after = draw.uniform(0.0, 1.02 * duration) if number is not None else None
            at_task = job.chained > 1 and draw.random() < 0.5
            ended = run(job.line(out), log, after=after, number=number or 0, at_task=at_task)
            if number is not None and ended.reached:
                wanted.pop()
                note(tally, job, ended, number, at_task)
            if ended.status not in (-signal.SIGKILL, 130):
                break
        if ended.status != 0:
            tally.stuck += 1
            tally.problems.append(f"stuck ({ended.status}): {ended.said[-400:]}")
            continue
        tally.ended += 1
        compare_parts(tally, job, whole, job.parts(out))
        left = leftovers(place)
        tally.leftovers += len(left)
        tally.problems += [f"left: {path}" for path in left]
        shutil.rmtree(out.parent, ignore_errors=True)
        out.parent.mkdir()
    return tally


def note(tally: Tally, job: Job, ended: Ended, number: int, at_task: bool) -> None:
    tally.orphans += ended.orphans
    if number == signal.SIGKILL:
        tally.kills += 1
        return
    tally.stops += 1
    if at_task:
        return
    tally.stop_seconds.append(round(ended.seconds, 3))
    lines = [line for line in ended.said.splitlines() if line.startswith("secondread: ")]
    clean = (ended.status == 130 and len(lines) == 1) or (ended.status in (0, 1) and not lines)
    if not clean or "Traceback" in ended.said:
        tally.unclean += 1
        tally.problems.append(f"SIGINT ({ended.status}): {ended.said[-400:]}")


def compare_parts(tally: Tally, job: Job, whole: dict[str, list[str]], found: dict[str, list[str]]) -> None:
    """Count rows that are lost, doubled or other than those of an undisturbed run."""
    lost = [name for name in whole if name not in found]
    doubled = [name for name, values in found.items() if len(values) > 1]
    other = [name for name in found if name not in whole or not alike(whole[name][0], found[name][0])]
    tally.lost += len(lost)
    tally.doubled += len(doubled)
    tally.other += len(other)
    for word, names in (("lost", lost), ("doubled", doubled), ("other", other)):
        tally.problems += [f"{word}: {name}" for name in names[:3]]


def alike(first: str, second: str) -> bool:
    try:
        return abs(float(first) - float(second)) <= TOLERANCE * max(1.0, abs(float(first)))
    except ValueError:
        return first == second


def leftovers(place: Path) -> list[str]:
    """What is under way, or was when its process was killed."""
    found = []
    for folder, folders, files in os.walk(place):
        found += [
            str(Path(folder, name).relative_to(place))
            for name in (*folders, *files)
            if name.endswith(UNDER_WAY)
        ]
    return found


def rows_of(table: Path) -> dict[str, list[str]]:
    """path -> scores, one for each time that it stands in the table; a map that should be there is."""
    found: dict[str, list[str]] = {}
    with table.open(newline="") as file:
        for row in csv.DictReader(file):
            there = not row["map"] or (table.parent / row["map"]).is_file()
            found.setdefault(row["path"], []).append(row["score"] if there else "no map")
    return found


def digests_of(folder: Path, names: Sequence[str]) -> dict[str, list[str]]:
    return {name: [hashlib.sha256((folder / name).read_bytes()).hexdigest()] for name in names}


def bundle_parts(out: Path) -> dict[str, list[str]]:
    record = json.loads(out.with_name(f"{out.name}.run.json").read_text())
    digest = hashlib.sha256((out / "bundle.json").read_bytes()).hexdigest()
    names = ("model.safetensors", "calibration.safetensors", "companions.safetensors")
    return {**digests_of(out, names), "record": [str(record["digests"]["bundle"] == digest)]}


def reading_parts(out: Path) -> dict[str, list[str]]:
    run_record = json.loads((out / "run.json").read_text())
    return {**rows_of(out / "readings.csv"), "finished": [str(run_record["finished"])]}


def report_parts(out: Path) -> dict[str, list[str]]:
    metrics = json.loads((out / "metrics.json").read_text())
    figures = sorted(path.name for path in (out / "figures").iterdir())
    whole = [str((out / "report.html").read_text().rstrip().endswith("</html>"))]
    return {
        "auroc": [repr(metrics["auroc"])],
        "interval": [json.dumps(metrics["auroc_interval"])],
        "figures": [json.dumps(figures)],
        "page": whole,
        "finished": [str(json.loads((out / "run.json").read_text())["finished"])],
    }


def comparison_parts(out: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for table in sorted(out.glob("runs/*/*/readings/readings.csv")):
        run_of = table.parent.parent.relative_to(out)
        found |= {f"{run_of} {path}": scores for path, scores in rows_of(table).items()}
    with (out / "results.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            found.setdefault(f"{row['method']} {row['seed']}", []).append(row["auroc"])
    return found


def jobs(place: Path) -> dict[str, Job]:
    """The commands, on phantoms that are made here."""
    from secondread.cohorts.phantoms.make import make_phantoms
    from secondread.fitting.fit import fit
    from secondread.readings.score_into import score_into
    from secondread.recipes.recipe import Recipe

    manifest = make_phantoms(place / "films", seed=1, n_normal=80, n_abnormal=40, size=(48, 48))
    site = make_phantoms(place / "site", seed=2, n_normal=60, n_abnormal=1, size=(48, 48))
    site.write_text(site.read_text().replace("phantom-", "site-"))
    cache = ["--cache", str(place / "cache"), "--device", "cpu", "-q"]
    bundle, readings = place / "bundle", place / "readings"
    recipe = Recipe.load("ae", set=AE)
    fitted = fit(recipe, manifest, bundle, cache=place / "cache", workers=0, device="cpu", progress=False)
    score_into(fitted, str(manifest), readings, where=["split=test"], workers=0)
    settings = [word for setting in AE for word in ("--set", setting)]
    shared = [word for setting in SMALL for word in ("--set", setting)]
    every = [
        Job(
            "fit",
            lambda out: [
                "fit", "ae", str(manifest), "-o", str(out), "--workers", "1", *settings, *cache,
            ],
            bundle_parts,
        ),
        Job(
            "score",
            lambda out: [
                "score", str(bundle), str(manifest), "-o", str(out), "--maps", "--batch-size", "4",
                "--workers", "1", "--device", "cpu", "-q",
            ],
            reading_parts,
        ),
        Job(
            "compare",
            lambda out: [
                "compare", str(manifest), "--recipes", "mean-intensity", "-o", str(out), "--seeds", "1",
                "--jobs", "2", "--bootstrap", "20", *shared, *cache,
            ],
            comparison_parts,
            chained=8,
        ),
        Job(
            "calibrate",
            lambda out: ["calibrate", str(bundle), str(site), "-o", str(out), "--workers", "1", *cache],
            bundle_parts,
        ),
        Job(
            "evaluate",
            lambda out: [
                "evaluate", str(readings / "readings.csv"), str(manifest), "-o", str(out), "--bootstrap",
                "50", "-q",
            ],
            report_parts,
        ),
    ]  # fmt: skip
    return {job.name: job for job in every}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=40, help="with each of the two signals, per command")
    parser.add_argument("--commands", nargs="+", default=["fit", "score", "compare", "calibrate", "evaluate"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="also write all counts and problems there")
    given = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    import_everything()
    import torch

    torch.set_num_threads(1)
    tallies = {}
    with tempfile.TemporaryDirectory() as folder:
        known = jobs(Path(folder))
        columns = (
            "kills", "stops", "ended", "lost", "doubled", "other", "stuck", "leftovers", "orphans", "unclean",
        )  # fmt: skip
        print(f"{'command':<10}" + "".join(f"{name:>10}" for name in columns) + "   SIGINT to end, seconds")
        for name in given.commands:
            tallies[name] = tally = try_out(known[name], Path(folder), given.kills, given.seed)
            ends = sorted(tally.stop_seconds) or [0.0]
            print(
                f"{name:<10}" + "".join(f"{getattr(tally, column):>10}" for column in columns)
                + f"   median {median(ends):.2f}, longest {ends[-1]:.2f}",
                flush=True,
            )  # fmt: skip
            for problem in tally.problems[:10]:
                print(f"    {problem}")
            if given.json:
                counted = {key: asdict(one) for key, one in tallies.items()}
                given.json.write_text(json.dumps(counted, indent=1))
    sys.exit(any(tally.faults for tally in tallies.values()))


if __name__ == "__main__":
    main()
