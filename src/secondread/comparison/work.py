"""One run of a comparison: fit, score the test rows, judge them, and write down what it cost.

    python -m secondread.comparison.work TASK.json PARENT

Whatever stops it, the same task goes on where it was: the fit from its last checkpoint, the readings from
their last row. `result.json` is written last, so a run that has one is done.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from secondread.errors import DataError, UserError
from secondread.whole import write_whole

TASK, RESULT, FAILED, LOG = "task.json", "result.json", "failed.json", "log.txt"


@dataclass(frozen=True)
class Task:
    """What a worker process must know.

    folder     of the run; what it makes lies there
    threads    of torch
    bootstrap  resamples behind the intervals of the run's own `metrics.json`
    """

    folder: str
    manifest: str
    recipe: dict[str, Any]
    maps: bool
    device: str = "auto"
    threads: int = 1
    workers: int = 0
    cache: str | None = None
    bootstrap: int = 2000

    @property
    def place(self) -> Path:
        return Path(self.folder)

    @property
    def done(self) -> bool:
        return (self.place / RESULT).is_file()

    @property
    def failed(self) -> str | None:
        """Why the last attempt gave no result, or None."""
        file = self.place / FAILED
        return json.loads(file.read_text(encoding="utf-8"))["error"] if file.is_file() else None

    def write(self) -> Path:
        self.place.mkdir(parents=True, exist_ok=True)
        write_whole(self.place / TASK, json.dumps(asdict(self), indent=1).encode())
        return self.place / TASK

    @classmethod
    def read(cls, file: Path) -> Self:
        return cls(**json.loads(file.read_text(encoding="utf-8")))


@dataclass(frozen=True)
class Cost:
    """train_seconds      of the training stages, over all sessions of a resumed fit
    score_seconds      per image, with decoding, preprocessing and the writing of maps
    peak_memory_bytes  the largest resident set of the process in fit and scoring; the GPU's apart from it
    parameters         numbers in the fitted state (parameters and buffers)
    """

    train_seconds: float
    score_seconds: float
    peak_memory_bytes: int
    gpu_memory_bytes: int | None
    parameters: int
    bundle_bytes: int
    device: str
    threads: int


def work(task: Task) -> None:
    """Do the task, or go on with it. What fails with a message for people is kept in `failed.json`."""
    place = task.place
    (place / FAILED).unlink(missing_ok=True)
    try:
        _work(task)
    except (UserError, DataError) as error:
        write_whole(place / FAILED, json.dumps({"error": " ".join(str(error).split())}).encode())
        raise
    except Exception as error:
        told = f"{type(error).__name__}: {' '.join(str(error).split())} (see {place / LOG})"
        write_whole(place / FAILED, json.dumps({"error": told}).encode())
        raise


def _work(task: Task) -> None:
    import torch

    from secondread.bundles.caching import open_cache
    from secondread.bundles.fit import fit
    from secondread.bundles.progress import say
    from secondread.cohorts.manifest import Manifest
    from secondread.evaluation.evaluate import evaluate
    from secondread.readings.score import score
    from secondread.recipes.recipe import Recipe

    place = task.place
    torch.set_num_threads(task.threads)
    manifest = Manifest.read(task.manifest)
    recipe = Recipe.from_mapping(task.recipe, source=str(place))
    bundle = fit(
        recipe, manifest, place / "bundle",
        resume=True, cache=task.cache, device=task.device, workers=task.workers,
    )  # fmt: skip
    note(place, peak=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
    say("scoring", shown=True)
    begun = time.monotonic()
    summary = score(
        bundle, manifest.where("split=test"), place / "readings",
        maps=task.maps, workers=task.workers, cache=open_cache(task.cache),
    )  # fmt: skip
    if summary.nothing_readable:
        raise DataError(
            f"none of {len(summary.failed)} test images can be read; first: {summary.failed[0][1]}"
        )
    if summary.scored:
        note(place, score_seconds=(time.monotonic() - begun) / summary.scored)
    say("evaluation", shown=True)
    evaluation = evaluate(
        place / "readings" / "readings.csv", manifest, bootstrap=task.bootstrap, workers=task.workers
    )
    training = bundle.provenance.training
    noted = note(place, peak=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
    cost = Cost(
        train_seconds=sum(stage["seconds"] for stage in training["stages"]),
        score_seconds=noted["score_seconds"],
        peak_memory_bytes=int(noted["peak"]),
        gpu_memory_bytes=torch.cuda.max_memory_allocated() if torch.cuda.is_available() else None,
        parameters=sum(value.numel() for value in bundle.detector.state_dict().values()),
        bundle_bytes=sum(file.stat().st_size for file in (place / "bundle").rglob("*") if file.is_file()),
        device=bundle.provenance.device,
        threads=task.threads,
    )
    write_whole(place / "metrics.json", json.dumps(evaluation.metrics(), indent=1, allow_nan=False).encode())
    result = {
        "cost": asdict(cost),
        "learnt_from": sorted(bundle.seen.images.get("normal", ())),
        "cohorts": bundle.provenance.cohorts,
        "notes": training.get("notes", []),
        "bundle": bundle.digest,
        "versions": bundle.provenance.versions,
    }
    write_whole(place / RESULT, json.dumps(result, indent=1).encode())


def note(place: Path, **measured: float) -> dict[str, float]:
    """Keep what a session measured, so that a later one of the same run has it: a peak is the highest."""
    file = place / "measured.json"
    noted: dict[str, float] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    measured = {
        name: max(value, noted.get(name, value)) if name == "peak" else value
        for name, value in measured.items()
    }
    write_whole(file, json.dumps(noted | measured).encode())
    return noted | measured


def main() -> None:
    from secondread.images.worker import end_with

    end_with(int(sys.argv[2]))
    task = Task.read(Path(sys.argv[1]))
    log = os.open(task.place / LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)
    try:
        work(task)
    except (UserError, DataError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
