"""What the package does on one GPU, in under ten minutes: training of paper-size models, scoring from file to
reading, and what each way of computing gives.

    python benchmarks/gpu.py --out build/gpu
    python benchmarks/gpu.py --device cpu --small --out build/gpu

Each part runs in a process of its own under a budget of seconds, so that one that fails, hangs or runs out of
memory costs no other; what it had found by then stays. `results.json` and `results.md` in the folder are
written after each part. Nothing is downloaded: weights are random, and images are made here. `--small` takes
tiny networks, to try every line where there is no GPU; its figures mean nothing.

The share of the matrix product's rate counts a training step as three forward passes of the loss, so that
what is computed again in backpropagation does not count, and the rate is that of a product of two matrices of
8192 in the precision in use, measured in the same process. What comes once (imports, CUDA, compiling) counts
for the budgets and for no figure.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
import traceback
from importlib import import_module
from pathlib import Path

PARTS = {
    "machine": ("bench", "machine", 25),
    "training shibata-cxr": ("training", "training", 130),
    "training shibata-bct": ("training", "training", 60),
    "training aeflow-paper": ("training", "training", 60),
    "scoring": ("scoring", "scoring", 120),
    "bf16": ("forms", "bf16", 35),
    "channels-last": ("forms", "channels_last", 25),
    "repeatable": ("forms", "repeatable", 25),
    "cuda-graph": ("forms", "graph", 25),
    "compile": ("forms", "compiled", 60),
    "transfers": ("forms", "transfers", 25),
}
"""The file and the function of each part, and the seconds that it may take, its start among them; together
less than ten minutes. What follows a space in a part's name is the function's second argument."""
SPARE = 0.75
"""The share of its budget after which a part begins nothing more."""


def run_part(name: str, *, device: str, small: bool, seconds: float, found: Path) -> None:
    """In the part's own process."""
    begun = time.monotonic()
    from gpu_parts.bench import Bench
    from secondread.errors import UserError
    from secondread.scoring.device import choose_device

    file, function, _ = PARTS[name]
    bench = Bench(choose_device("cpu"), small, begun + SPARE * seconds, found)
    try:
        bench.device = choose_device(device)
        measure = getattr(import_module(f"gpu_parts.{file}"), function)
        measure(bench, *name.split()[1:])
    except UserError as error:
        bench.tell("failed", "wrong use", str(error))
        raise SystemExit(1) from None
    except Exception as error:
        traceback.print_exc()
        bench.tell("failed", type(error).__name__, " ".join(str(error).split())[:300])
        raise SystemExit(1) from error


def start_part(name: str, given: argparse.Namespace, seconds: float) -> list[dict[str, str]]:
    """The rows of a part, those of one that was stopped or failed among them."""
    found = given.out / "parts" / f"{name.replace(' ', '-')}.json"
    found.unlink(missing_ok=True)
    command = [sys.executable, __file__, "--part", name, "--device", given.device, "--out", str(given.out)]
    command += [*(["--small"] if given.small else []), "--seconds", f"{name}={seconds}"]
    process = subprocess.Popen(command, start_new_session=True)
    problem = ""
    try:
        code = process.wait(seconds)
        problem = f"ended with code {code}" if code else ""
    except subprocess.TimeoutExpired:
        problem = f"stopped after its {seconds:.0f} s"
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    rows: list[dict[str, str]] = json.loads(found.read_text()) if found.exists() else []
    if problem and not any(row["what"] == "failed" for row in rows):
        rows.append({"what": "failed", "value": problem, "note": "what is above was measured before"})
    return rows


def table(results: dict[str, list[dict[str, str]]]) -> str:
    lines = ["| part | what | value | remark |", "| --- | --- | --- | --- |"]
    for part, rows in results.items():
        lines += [
            f"| {part} | "
            + " | ".join(row[key].replace("|", "/") for key in ("what", "value", "note"))
            + " |"
            for row in rows
        ]
    return "\n".join(lines) + "\n"


def budgets(given: list[str]) -> dict[str, float]:
    """What `--seconds` says: PART=SECONDS, or SECONDS for every part."""
    found = {name: float(part[-1]) for name, part in PARTS.items()}
    for text in given:
        name, equals, seconds = text.rpartition("=")
        if equals and name not in PARTS:
            raise SystemExit(f"error: --seconds {text}: there is no part {name!r}; parts: {', '.join(PARTS)}")
        try:
            found.update(dict.fromkeys([name] if equals else PARTS, float(seconds)))
        except ValueError:
            raise SystemExit(f"error: --seconds {text}: {seconds!r} is no number") from None
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("build/gpu"), help="folder of the results")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--small", action="store_true", help="tiny networks, to try the script")
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS), metavar="PART")
    parser.add_argument("--seconds", action="append", default=[], metavar="[PART=]S", help="a part's budget")
    parser.add_argument("--part", choices=list(PARTS), help=argparse.SUPPRESS)
    given = parser.parse_args()
    seconds = budgets(given.seconds)
    (given.out / "parts").mkdir(parents=True, exist_ok=True)
    if given.part:
        found = given.out / "parts" / f"{given.part.replace(' ', '-')}.json"
        run_part(given.part, device=given.device, small=given.small, seconds=seconds[given.part], found=found)
        return
    begun = time.monotonic()
    results: dict[str, list[dict[str, str]]] = {}
    for name in given.parts:
        print(f"{name} (at most {seconds[name]:.0f} s)", flush=True)
        results[name] = start_part(name, given, seconds[name])
        (given.out / "results.json").write_text(json.dumps(results, indent=1), encoding="utf-8")
        (given.out / "results.md").write_text(table(results), encoding="utf-8")
    failed = [name for name, rows in results.items() if any(row["what"] == "failed" for row in rows)]
    print(f"{time.monotonic() - begun:.0f} s in all; {given.out / 'results.md'}")
    if failed:
        raise SystemExit(f"failed, wholly or in part: {', '.join(failed)}")


if __name__ == "__main__":
    main()
