"""The demonstration's job over seeds: how well the detector and the trivial baselines find drawn lesions.

    OMP_NUM_THREADS=1 python benchmarks/results/phantoms.py [--recipe aeflow-conv] [--seeds 0 1 2] [--set K=V]

Each seed draws its own phantoms, fits, scores with maps and evaluates, as `secondread demo --seed` does.
Phantoms are drawn by this package, so the figures say that the chain works, and nothing about patients.
CPU seconds are those of this process and of its decode workers, over all threads.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
from pathlib import Path
from statistics import mean

from secondread.cli.commands.machine.demo_steps import demonstrate

BASELINES = ("mean_intensity", "pixel_1nn", "spectrum")
COLUMNS = ("auroc", "nodule", "opacity", "haemorrhage", "oedema", *BASELINES, "pixel auroc", "dice")


def cpu_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def measure(recipe: str, settings: list[str], seed: int) -> dict[str, float]:
    """Figures of one demonstration by column, where it has them."""
    begun = cpu_seconds()
    with tempfile.TemporaryDirectory() as folder:
        report = demonstrate(
            Path(folder, "demo"),
            data=None,
            recipe=recipe,
            settings=settings,
            seed=seed,
            device="cpu",
            workers=1,
            command=["benchmarks/results/phantoms.py"],
            say=lambda line: None,
            progress=False,
        )
        metrics = json.loads((report.parent / "metrics.json").read_text(encoding="utf-8"))
    figures = {"auroc": metrics["auroc"]}
    figures |= {name: group["auroc"] for name, group in metrics["per_finding"].items()}
    figures |= {name: metrics["baselines"][name] for name in BASELINES}
    if metrics["pixel"]:
        figures["pixel auroc"] = metrics["pixel"]["auroc"]
        figures["dice"] = metrics["pixel"]["dice_oracle"]
    return {**figures, "cpu s": cpu_seconds() - begun}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--recipe", default="aeflow-conv")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--set", dest="settings", action="append", default=[], metavar="KEY=VALUE")
    options = parser.parse_args()
    rows = []
    for seed in options.seeds:
        rows.append(measure(options.recipe, options.settings, seed))
        if len(rows) == 1:
            shown = [name for name in (*COLUMNS, "cpu s") if name in rows[0]]
            print(f"{options.recipe} {' '.join(options.settings)}".rstrip())
            print(f"{'seed':8}" + "".join(f"{name:>16}" for name in shown))
        print(f"{seed:<8}" + "".join(f"{rows[-1][name]:16.3f}" for name in shown), flush=True)
    for title, of in (("mean", mean), ("lowest", min), ("highest", max)):
        print(f"{title:8}" + "".join(f"{of([row[name] for row in rows]):16.3f}" for name in shown))


if __name__ == "__main__":
    main()
