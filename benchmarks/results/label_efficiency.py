"""How far unlabelled images and a few labels help: AE-FLOW, AE-FLOW with a mixture, and linear baselines.

    python benchmarks/results/label_efficiency.py MANIFEST -o OUT [--only NAME…] [--tabulate]

Every row is a fit on the training split, readings of the test split, and their evaluation, each by the
command line, one after another; a row that is there already is not done again. All rows of a seed have the
same cohorts: 400 images with hidden labels at the row's anomaly rate, the other normals, and k labelled
abnormal images beside them. Rows:

    aeflow-SEED          normals alone                                         seeds 0 to 2
    gmm-RATE-SEED        aeflow-gmm, normals and unlabelled images             0.1: seeds 0 to 2; 0, 0.3, 0.5
    ratio-RATE-SEED      density-ratio, the same                               the same
    both-K-SEED          aeflow-gmm, and k labelled ones, rate 0.1             5, 20, 100
    few-K-SEED           aeflow-gmm, normals and k labelled ones               5, 20, 100
    linear-K-SEED        logistic regression of the same on pooled features    5, 20, 100
    few-viral-0 …        20 labels of one finding alone; the other finding is unseen
    identity-0.1-SEED    aeflow-gmm without a flow's training (one block, one step): the mixture alone

Writes OUT/table.md, OUT/rows.csv and OUT/label-efficiency.png.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from rows import Row, metrics, run

MEASURES = ("auroc", "average_precision", "f1", "accuracy", "sensitivity", "specificity")
BOTH = "detector.mixture.learns_from=[unlabelled,abnormal]"
FEW = "detector.mixture.learns_from=[abnormal]"


def rows(findings: Sequence[str]) -> list[Row]:
    made = []

    def add(name: str, recipe: str, seed: int, rate: float, *settings: str) -> None:
        cohorts = ("cohorts.unlabelled=400", f"cohorts.anomaly_rate={rate}")
        made.append(Row(f"{name}-{seed}", recipe, seed, (*cohorts, *settings)))

    for seed in range(3):
        add("aeflow", "aeflow", seed, 0.1)
        add("gmm-0.1", "aeflow-gmm", seed, 0.1)
        add("ratio-0.1", "density-ratio", seed, 0.1)
    for rate in (0.0, 0.3, 0.5):
        add(f"gmm-{rate}", "aeflow-gmm", 0, rate)
        add(f"ratio-{rate}", "density-ratio", 0, rate)
    for k in (5, 20, 100):
        labels = f"cohorts.labelled.any={k}"
        add(f"both-{k}", "aeflow-gmm", 0, 0.1, BOTH, labels)
        add(f"few-{k}", "aeflow-gmm", 0, 0.1, FEW, labels)
        add(f"linear-{k}", "density-ratio", 0, 0.1, "detector.against=abnormal", labels)
    for finding in findings:
        labels = f"cohorts.labelled={json.dumps({finding: 20})}"
        short = finding.split()[0]
        add(f"few-{short}", "aeflow-gmm", 0, 0.1, FEW, labels)
        add(f"linear-{short}", "density-ratio", 0, 0.1, "detector.against=abnormal", labels)
    for seed in range(3):
        still = ("detector.flow.blocks=1", "stages.flow.epochs=1", "stages.flow.steps=1")
        add("identity-0.1", "aeflow-gmm", seed, 0.1, *still)
    return made


def measured(row: Row, out: Path) -> dict[str, object] | None:
    judged = metrics(row.name, out)
    if judged is None:
        return None
    found: dict[str, object] = {name: judged[name] for name in MEASURES}
    low, high = judged["auroc_interval"]
    found |= {"low": low, "high": high}
    for finding, values in judged["per_finding"].items():
        found[f"auroc {finding}"] = values["auroc"]
    return {"name": row.name, "seed": row.seed} | found


def table(found: Sequence[dict[str, object]]) -> str:
    columns = [name for name in found[0] if name not in ("seed", "low", "high")]
    lines = ["| " + " | ".join(columns) + " |", "| --- " * len(columns) + "|"]
    for values in found:
        cells = [f"{v:.3f}" if isinstance(v := values.get(c), float) else str(v) for c in columns]
        cells[1] += f" ({values['low']:.3f} to {values['high']:.3f})"
        lines.append("| " + " | ".join(cells) + " |")
    groups: dict[str, list[float]] = {}
    for values in found:
        groups.setdefault(str(values["name"]).rpartition("-")[0], []).append(float(str(values["auroc"])))
    for name, each in groups.items():
        if len(each) > 1:
            lines.append(
                f"\n{name}: AUROC {np.mean(each):.3f} ± {np.std(each, ddof=1):.3f}, {len(each)} seeds"
            )
    return "\n".join(lines) + "\n"


def draw(found: Sequence[dict[str, object]], path: Path) -> None:
    """AUROC by anomaly rate and by number of labels; all seeds as points, their mean as the line."""
    by_name: dict[str, list[float]] = {}
    for values in found:
        by_name.setdefault(str(values["name"]).rpartition("-")[0], []).append(float(str(values["auroc"])))
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), sharey=True, layout="constrained")

    def line(axis: plt.Axes, series: str, at: Sequence[float], label: str) -> None:
        there = [(x, by_name[f"{series}-{x}"]) for x in at if f"{series}-{x}" in by_name]
        if not there:
            return
        (drawn,) = axis.plot([x for x, _ in there], [np.mean(v) for _, v in there], label=label)
        for x, values in there:
            aside = 0.012 if series == "identity" else 0.0
            axis.plot([x + aside] * len(values), values, "o", markersize=4, color=drawn.get_color())

    line(left, "gmm", (0.0, 0.1, 0.3, 0.5), "aeflow-gmm")
    line(left, "identity", (0.1,), "aeflow-gmm, flow not trained")
    line(left, "ratio", (0.0, 0.1, 0.3, 0.5), "density-ratio")
    line(right, "both", (5, 20, 100), "aeflow-gmm, unlabelled at 0.1 too")
    line(right, "few", (5, 20, 100), "aeflow-gmm, labels alone")
    line(right, "linear", (5, 20, 100), "logistic regression, labels alone")
    for axis in (left, right):
        if "aeflow" in by_name:
            axis.axhline(
                np.mean(by_name["aeflow"]), color="grey", linestyle=":", label="aeflow, normals alone"
            )
        axis.legend(fontsize="small", loc="lower right")
        axis.grid(alpha=0.3)
    left.set(xlabel="anomaly rate of 400 unlabelled images", ylabel="AUROC, test")
    right.set(xlabel="labelled abnormal images", xscale="log")
    right.set_xticks((5, 20, 100), ("5", "20", "100"), minor=False)
    right.minorticks_off()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--only", nargs="*", help="rows whose name begins so")
    parser.add_argument("--findings", nargs="*", default=["bacterial pneumonia", "viral pneumonia"])
    parser.add_argument(
        "--tabulate", action="store_true", help="no fits: the table and plot of what is there"
    )
    given = parser.parse_args()
    given.output.mkdir(parents=True, exist_ok=True)
    every = rows(given.findings)
    if not given.tabulate:
        for row in every:
            if not given.only or row.name.startswith(tuple(given.only)):
                run(row, given.manifest, given.output)
    found = [values for row in every if (values := measured(row, given.output)) is not None]
    (given.output / "table.md").write_text(table(found))
    with (given.output / "rows.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(found[0]))
        writer.writeheader()
        writer.writerows(found)
    draw(found, given.output / "label-efficiency.png")
    print(f"{given.output / 'table.md'}: {len(found)} of {len(every)} rows")


if __name__ == "__main__":
    main()
