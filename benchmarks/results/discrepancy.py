"""DDAD and the reconstruction methods under it, as the papers ablate them, at one reduced size.

    python benchmarks/results/discrepancy.py MANIFEST -o OUT [--epochs 250 100] [--only NAME…] [--lesions]

Every row is a fit on the training split, readings of the test split and their evaluation. The size of all
rows, declared before any was run: 64×64, `ddad-aeu` with a hidden layer of 512 and refiners of width 32, 30
epochs of each ensemble and 15 of the refiners (`--epochs`; the paper has 250 and 100), both refiners, 400
unlabelled images with hidden labels. Rows:

    aeu-RATE-SEED      AE-U backbone, 0.6 (seeds 0 to 2); 0, 0.1, 0.3 and 1.0 (seed 0)
    ae-0.6-0, memae-0.6-0
    seen-FINDING-0     0.6, the unlabelled abnormal images are all of one finding
    unlabelled-N-0     0.6, N unlabelled images: 100, 200
    refined-60-0       aeu-0.6-0 with 60 epochs of the refiners, added after 15 had been seen to be few
    epochs-NAME-SEED   `ae`, `memae`, `aeu` alone, 60 epochs, with the label-free curves watched, and every
                       sixth epoch's bundle judged on the test: which rule would have picked the right epoch

One fit of `ddad` gives the whole column: `single` (one network's reconstruction error), rec, intra, inter,
r_intra, r_dual. Writes OUT/parts.md, OUT/epochs.md, OUT/discrepancy.png.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from rows import Row, command, metrics, run
from scipy.stats import spearmanr

from secondread.cohorts.manifest import Manifest
from secondread.metrics.roc import auroc

PARTS = ("single", "rec", "intra", "inter", "r_intra", "r_dual")
BACKBONES = {
    "aeu": ("detector.backbone.network.hidden=512",),
    "ae": ("detector.backbone={name: ae, network: {width: 16, hidden: 512, latent: 16}}",),
    "memae": ("detector.backbone={name: memae, network: {width: 16, hidden: 512, latent: 16}}",),
}
RULES = ("held-out loss", "synthetic", "unlabelled")
EVERY = 6


def rows(findings: Sequence[str], unlabelled: int, epochs: tuple[int, int]) -> list[Row]:
    made = []
    ensembles, refiners = epochs
    length = (
        f"stages.normal.epochs={ensembles}",
        f"stages.mixture.epochs={ensembles}",
        f"stages.refine.epochs={refiners}",
    )

    def add(
        name: str, backbone: str, seed: int, rate: float, *settings: str, count: int = unlabelled
    ) -> None:
        cohorts = (f"cohorts.unlabelled={count}", f"cohorts.anomaly_rate={rate}")
        both = ("detector.refiners=[r_intra, r_dual]", "detector.refiner.width=32")
        every = (*cohorts, *both, *length, *BACKBONES[backbone], *settings)
        made.append(Row(f"{name}-{seed}", "ddad-aeu", seed, every))

    for seed in range(3):
        add("aeu-0.6", "aeu", seed, 0.6)
    add("refined-60", "aeu", 0, 0.6, "stages.refine.epochs=60")
    for backbone in ("ae", "memae"):
        add(f"{backbone}-0.6", backbone, 0, 0.6)
    for rate in (0.0, 0.1, 0.3, 1.0):
        add(f"aeu-{rate}", "aeu", 0, rate)
    for finding in findings:
        only = f"cohorts.unlabelled_findings={json.dumps([finding])}"
        add(f"seen-{finding.split()[0]}", "aeu", 0, 0.6, only)
    for count in (100, 200):
        if count < unlabelled:
            add(f"unlabelled-{count}", "aeu", 0, 0.6, count=count)
    return made


def epoch_rows(unlabelled: int) -> list[Row]:
    """The same normals as above, so the unlabelled images that AUCp needs are there."""
    made = []
    for name in ("ae", "memae", "aeu"):
        for seed in range(3):
            stage = "stages.reconstruction"
            settings = (
                f"cohorts.unlabelled={unlabelled}", "cohorts.anomaly_rate=0.3", f"{stage}.epochs=60",
                "detector.network={width: 16, hidden: 512, latent: 16}",
                f"{stage}.watch=[synthetic, unlabelled]",
                f"{stage}.measure.every={EVERY}", f"{stage}.keep_every={EVERY}",
            )  # fmt: skip
            made.append(Row(f"epochs-{name}-{seed}", name, seed, settings))
    return made


def judge_epochs(row: Row, manifest: Path, out: Path) -> None:
    """Readings of the test split by each epoch's bundle; AUROC alone is wanted of them."""
    for bundle in sorted((out / f"{row.name}.epochs").glob("epoch-*")):
        scored = out / f"{row.name}-{bundle.name}-s"
        command(["score", str(bundle), str(manifest), "--where", "split=test", "-o", str(scored)])


def test_auroc(readings: Path, manifest: Manifest) -> float:
    labels = {row.path: row.label == "abnormal" for row in manifest.rows}
    with readings.open(newline="") as file:
        found = [(labels[line["path"]], float(line["score"])) for line in csv.DictReader(file)]
    return auroc([label for label, _ in found], [score for _, score in found])


def by_finding(readings: Path, manifest: Manifest, part: str) -> dict[str, float]:
    """AUROC of one part, each finding against all normals; empty where the run is not there."""
    if not readings.exists():
        return {}
    rows = {row.path: row for row in manifest.rows}
    with readings.open(newline="") as file:
        found = [(rows[line["path"]], float(line[f"part_{part}"])) for line in csv.DictReader(file)]
    normal = [value for row, value in found if row.label == "normal"]
    areas = {}
    for finding in sorted({name for row, _ in found for name in row.findings}):
        own = [value for row, value in found if finding in row.findings]
        areas[finding] = auroc([False] * len(normal) + [True] * len(own), normal + own)
    return areas


def drawn(row: Row, out: Path) -> str:
    """Pixel AUROC of A_inter and A_intra for drawn patches on held-out normals, each with its lower bound."""
    stages = json.loads((out / row.name / "bundle.json").read_text())["provenance"]["training"]["stages"]
    found = {name: value for stage in stages for name, value in stage.get("figures", {}).items()}
    told = [
        f"{found[f'AUROC of {name} for drawn anomalies']:.3f} (≥ {found[f'lower bound of {name}']:.3f})"
        for name in ("inter", "intra")
        if f"lower bound of {name}" in found
    ]
    return ", ".join(told) or "–"


def parts_table(every: Sequence[Row], out: Path) -> str:
    """AUROC and average precision of each part and of the score, and how well the maps show drawn patches."""
    columns = ("row", *PARTS, "score", "drawn patches: inter, intra")
    lines = ["| " + " | ".join(columns) + " |", "| --- " * len(columns) + "|"]
    for row in every:
        if (judged := metrics(row.name, out)) is not None:
            values = [judged["parts"].get(part) for part in PARTS]
            cells = [
                "–" if v is None else f"{v['auroc']:.3f} / {v['average_precision']:.3f}"
                for v in (*values, judged)
            ]
            lines.append(f"| {row.name} | " + " | ".join((*cells, drawn(row, out))) + " |")
    return "\n".join(lines) + "\n"


def curves(row: Row, manifest: Manifest, out: Path) -> dict[str, list[float]] | None:
    """Test AUROC and label-free values of the epochs that left a bundle, the last one among them."""
    record = out / row.name / "bundle.json"
    if not record.exists():
        return None
    stages = json.loads(record.read_text())["provenance"]["training"]["stages"]
    epochs = next(stage for stage in stages if stage["epochs"])["epochs"]
    found: dict[str, list[float]] = {
        name: [] for name in ("test", "held-out loss", "synthetic", "unlabelled")
    }
    for number in range(EVERY, len(epochs) + 1, EVERY):
        at = epochs[number - 1]
        kept = out / f"{row.name}-epoch-{number:05d}-s" / "readings.csv"
        readings = kept if kept.exists() else out / f"{row.name}-s" / "readings.csv"
        if not kept.exists() and number < len(epochs):
            continue
        found["test"].append(test_auroc(readings, manifest))
        found["held-out loss"].append(-at["validation"])
        for rule in ("synthetic", "unlabelled"):
            found[rule].append(at["measured"][rule])
    return found


def epochs_table(every: Sequence[Row], manifest: Manifest, out: Path) -> str:
    columns = (
        "row",
        "test AUROC: lowest, highest, last",
        *(f"by {rule}" for rule in RULES),
        "rank correlations",
    )
    lines = ["| " + " | ".join(columns) + " |", "| --- " * 6 + "|"]
    for row in every:
        found = curves(row, manifest, out)
        if not found or len(found["test"]) < 3:
            continue
        test = np.array(found["test"])
        picked = [test[int(np.argmax(found[rule]))] for rule in RULES]
        follows = [spearmanr(found[rule], test).statistic for rule in RULES]
        spread = f"{test.min():.3f}, {test.max():.3f}, {test[-1]:.3f}"
        cells = [row.name, spread, *(f"{v:.3f}" for v in picked), ", ".join(f"{v:.2f}" for v in follows)]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def lines(axes: Axes, points: Sequence[tuple[float, Row]], out: Path) -> None:
    """AUROC of each part over what the rows differ in."""
    for part in PARTS:
        found = [
            (x, judged["parts"][part]["auroc"])
            for x, row in sorted(points, key=lambda pair: pair[0])
            if (judged := metrics(row.name, out)) is not None and part in judged["parts"]
        ]
        if found:
            axes.plot(*zip(*found, strict=True), marker="o", label=part)


def draw(every: Sequence[Row], manifest: Manifest, unlabelled: int, out: Path) -> None:
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(12.5, 3.6), layout="constrained")
    first = [row for row in every if row.seed == 0]
    lines(left, [(float(r.name.split("-")[1]), r) for r in first if r.name.startswith("aeu-")], out)
    left.set(xlabel="anomaly rate of the unlabelled images", ylabel="AUROC, test")
    sizes = [(float(r.name.split("-")[1]), r) for r in first if r.name.startswith("unlabelled-")]
    lines(middle, [*sizes, *((float(unlabelled), r) for r in first if r.name == "aeu-0.6-0")], out)
    middle.set(xlabel="unlabelled images, 60 % abnormal", xlim=(0, None))
    figure.legend(*left.get_legend_handles_labels(), fontsize="small", ncols=6, loc="outside lower left")
    shown = [row for row in every if row.name.startswith("seen-") or row.name == "aeu-0.6-0"]
    for number, row in enumerate(shown):
        values = by_finding(out / f"{row.name}-s" / "readings.csv", manifest, "inter")
        label = "all findings" if row.name == "aeu-0.6-0" else f"{row.name.split('-')[1]} alone"
        places = np.arange(len(values)) + 0.25 * number
        bars = right.bar(places, list(values.values()), 0.22, label=label)
        right.bar_label(bars, fmt="%.2f", fontsize="small")
        right.set_xticks(np.arange(len(values)) + 0.25, list(values))
    right.set(ylabel="AUROC of A_inter by finding", ylim=(0.5, 1.05))
    if shown:
        right.legend(fontsize="small", title="unlabelled images hold", loc="upper right")
    figure.savefig(out / "discrepancy.png", dpi=110)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--only", nargs="*", help="rows whose name begins so")
    parser.add_argument("--findings", nargs="*", default=["bacterial pneumonia", "viral pneumonia"])
    parser.add_argument("--unlabelled", type=int, default=400)
    parser.add_argument("--epochs", type=int, nargs=2, default=(30, 15), help="of ensembles, of refiners")
    parser.add_argument("--lesions", action="store_true", help="the manifest has masks: pixel figures too")
    parser.add_argument("--tabulate", action="store_true", help="no fits: the tables of what is there")
    given = parser.parse_args()
    out: Path = given.output
    out.mkdir(parents=True, exist_ok=True)
    ensembles, epochs = rows(given.findings, given.unlabelled, given.epochs), epoch_rows(given.unlabelled)
    for row in () if given.tabulate else (*ensembles, *epochs):
        if not given.only or row.name.startswith(tuple(given.only)):
            run(row, given.manifest, out, maps=given.lesions)
            if row in epochs:
                judge_epochs(row, given.manifest, out)
    (out / "parts.md").write_text(parts_table(ensembles, out))
    manifest = Manifest.read(given.manifest)
    (out / "epochs.md").write_text(epochs_table(epochs, manifest, out))
    draw(ensembles, manifest, given.unlabelled, out)
    print(out / "parts.md", out / "epochs.md", out / "discrepancy.png")


if __name__ == "__main__":
    main()
