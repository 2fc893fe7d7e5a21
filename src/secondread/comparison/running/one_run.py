"""One run of a comparison: fit, score the test rows, judge them, and write down what it cost.

    python -m secondread.comparison.running.one_run TASK.json PARENT

Whatever stops it, the same task goes on where it was: the fit from its last checkpoint, the readings from
their last row. `result.json` is written last, so a run that has one is done.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from secondread.errors import DataError, UserError
from secondread.outputs.lock import only_one
from secondread.outputs.private import FILE, private
from secondread.outputs.whole import clear_leftovers, remove_folder, write_whole
from secondread.terminal.interruption import Interrupted
from secondread.terminal.say import say
from secondread.wording.short import Short

if TYPE_CHECKING:
    from secondread.bundles.bundle import Bundle
    from secondread.cohorts.manifest import Manifest

TASK, RESULT, FAILED, LOG, MEASURED = "task.json", "result.json", "failed.json", "log.txt", "measured.json"
INTERRUPTED = 130
WAIT_FOR_EARLIER_SECONDS = 30.0
SECONDS_BETWEEN_NOTES = 2.0


@dataclass(frozen=True, repr=False)
class Task(Short):
    """What a worker process must know.

    folder     of the run; what it makes lies there
    threads    of torch
    workers    processes that decode, so that a file which ends its decoder costs one row and not the run
    bootstrap  resamples behind the intervals of the run's own `metrics.json`
    """

    folder: str
    manifest: str
    recipe: dict[str, Any]
    maps: bool
    where: tuple[str, ...] = ()
    device: str = "auto"
    threads: int = 1
    workers: int = 1
    cache: str | None = None
    bootstrap: int = 2000
    loggers: tuple[str, ...] = ()

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

    def note_failure(self, error: str) -> None:
        write_whole(self.place / FAILED, json.dumps({"error": " ".join(error.split())}).encode())

    def write(self) -> Path:
        write_whole(self.place / TASK, json.dumps(asdict(self), indent=1).encode())
        return self.place / TASK

    @classmethod
    def read(cls, file: Path) -> Self:
        return cls(**json.loads(file.read_text(encoding="utf-8")))


@dataclass(frozen=True)
class Cost:
    """train_seconds      of the training stages, over all sessions of a resumed fit, as if no other run had
                       kept what encoders say of the images
    score_seconds      per image that is prepared beforehand, so alike for whoever is first to read a file;
                       with the writing of readings and maps, over all sessions
    peak_memory_bytes  the largest resident set of the process in fit and scoring, before the evaluation; the
                       GPU's apart from it
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
    """Do the task, or go on with it. What fails is kept in `failed.json`, a stop from outside is not.

    Raises UserError where another process is at the same run and does not end soon.
    """
    try:
        with only_one(task.place, wait_seconds=WAIT_FOR_EARLIER_SECONDS), private():
            clear_leftovers(task.place)
            (task.place / FAILED).unlink(missing_ok=True)
            _work(task)
    except (UserError, DataError) as error:
        task.note_failure(str(error))
        raise
    except Interrupted:
        raise
    except Exception as error:
        task.note_failure(f"{type(error).__name__}: {error} (see {task.place / LOG})")
        raise


def _work(task: Task) -> None:
    import torch

    from secondread.cohorts.manifest import Manifest
    from secondread.evaluation.evaluate import evaluate
    from secondread.fitting.fit import fit
    from secondread.recipes.recipe import Recipe

    place = task.place
    torch.set_num_threads(task.threads)
    manifest = Manifest.read(task.manifest).where(*task.where)
    recipe = Recipe.from_mapping(task.recipe, source=str(place))
    bundle = fit(
        recipe, manifest, place / "bundle",
        cache=task.cache, device=task.device, workers=task.workers, loggers=task.loggers,
    )  # fmt: skip
    note(place, **peaks())
    seconds = score_seconds(task, bundle, manifest.where("split=test"))
    noted = note(place, **peaks())
    say("evaluation", shown=True)
    evaluation = evaluate(
        place / "readings" / "readings.csv", manifest, bootstrap=task.bootstrap, workers=task.workers
    )
    training = bundle.provenance.training
    note(place, peak_evaluated=peaks()["peak"])
    cost = Cost(
        train_seconds=sum(
            stage["seconds"] + stage.get("spared_seconds", 0.0) for stage in training["stages"]
        ),
        score_seconds=seconds,
        peak_memory_bytes=int(noted["peak"]),
        gpu_memory_bytes=int(noted["peak_gpu"]) if "peak_gpu" in noted else None,
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
        "notes": [*training.get("warnings", []), *training.get("notes", [])],
        "bundle": bundle.digest,
        "versions": bundle.provenance.versions,
    }
    write_whole(place / RESULT, json.dumps(result, indent=1).encode())


def score_seconds(task: Task, bundle: Bundle, images: Manifest) -> float:
    """Score the images that have no reading yet; returns seconds per image over all sessions.

    All are prepared before the clock starts, for a later run finds them in the cache; what an encoder's
    passes over images took that another run had made counts as if this one had made them.
    """
    from secondread.preprocessing.cache.place import open_cache
    from secondread.preprocessing.prepare import prepare_many
    from secondread.readings.score_into import score_into
    from secondread.scoring.kept_encodings import kept_encodings

    place, cache = task.place, open_cache(task.cache)
    say("preparing test images", shown=True)
    references = [images.reference(row) for row in images.rows]
    for _ in prepare_many(references, bundle.preprocessing, cache=cache, workers=task.workers):
        pass
    before = {"scoring_seconds": 0.0, "scoring_images": 0.0} | note(place)
    begun = noted_at = time.monotonic()
    images_here = 0

    def keep() -> dict[str, float]:
        spared = 0.0 if kept is None else kept.spared_seconds
        spent = max(0.0, time.monotonic() - begun + spared)
        return note(
            place,
            scoring_seconds=before["scoring_seconds"] + spent,
            scoring_images=before["scoring_images"] + images_here,
        )

    def progress(done: int, total: int) -> None:
        nonlocal images_here, noted_at
        images_here += 1
        if time.monotonic() - noted_at >= SECONDS_BETWEEN_NOTES:
            keep()
            noted_at = time.monotonic()
            say(f"scoring {done}/{total}", shown=True)

    say("scoring", shown=True)
    with kept_encodings(bundle.detector, None if bundle.recipe.window else cache.directory) as kept:
        summary = score_into(
            bundle, images, place / "readings", maps=task.maps, workers=task.workers,
            cache=cache, progress=progress,
        )  # fmt: skip
    if summary.nothing_readable:
        raise DataError(
            f"none of {len(summary.failed)} test images can be read; first: {summary.failed[0][1]}"
        )
    noted = keep() if images_here else before
    if not noted["scoring_images"]:
        remove_folder(place / "readings")
        return score_seconds(task, bundle, images)
    return noted["scoring_seconds"] / noted["scoring_images"]


def peaks() -> dict[str, float]:
    """The highest resident memory of this process and, where it used one, of its GPU, in bytes.

    Linux's `ru_maxrss` is no measure of this process alone: it begins at what the parent held.
    """
    import torch

    try:
        status = Path("/proc/self/status").read_text(encoding="utf-8")
        peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")) << 10
    except (OSError, StopIteration):
        unit = 1 if sys.platform == "darwin" else 1024
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    gpu = torch.cuda.max_memory_allocated() if torch.cuda.is_initialized() else 0
    return {"peak": peak, **({"peak_gpu": gpu} if gpu else {})}


def note(place: Path, **measured: float) -> dict[str, float]:
    """Keep what a session measured, so that a later one of the same run has it: a peak is the highest."""
    file = place / MEASURED
    noted: dict[str, float] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    for name, value in measured.items():
        noted[name] = max(value, noted.get(name, value)) if name.startswith("peak") else value
    write_whole(file, json.dumps(noted).encode())
    return noted


def main() -> None:
    from secondread.terminal.end_with import end_with

    end_with(int(sys.argv[2]))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    task = Task.read(Path(sys.argv[1]))
    log = os.open(task.place / LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND, FILE)
    os.dup2(log, 1)
    os.dup2(log, 2)
    try:
        work(task)
    except (UserError, DataError) as error:
        sys.exit(str(error))
    except (Interrupted, KeyboardInterrupt) as stop:
        print(f"stopped: {stop}" if str(stop) else "stopped", file=sys.stderr)
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
