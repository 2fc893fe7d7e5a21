"""FlowGMM's own cases: two moons and eight Gaussians from a few labels, and if its posterior is calibrated.

    OMP_NUM_THREADS=1 python benchmarks/results/flowgmm_toys.py -o OUT

P. Izmailov, P. Kirichenko, M. Finzi, A. G. Wilson: Semi-Supervised Learning with Normalizing Flows, ICML
2020. Prints three Markdown tables and writes `OUT/flowgmm-toys.png` and `.svg`. Seeds 0, 1 and 2.

**Toys.** 1,000 points, of which 5 per class (moons) or 3 (Gaussians) have a label; accuracy on 2,000 fresh
points. The loss is FlowGMM's: -log p of all points under the mixture, plus the cross-entropy of the
component's posterior on the labelled ones, weight 1 (no consistency term). Per seed the flow starts three
times, and the start with the lowest final loss on the training points counts; no test label chooses. The
peers see the same points and labels.

**Calibration.** Two classes of one unit Gaussian each, 2.563 standard deviations apart, so that the best
accuracy is 0.9, behind a random rotation: in 2 dimensions, and as maps of 20 channels by 100 positions, where
the class moves each position by 0.256 in one direction of the channels. Every training draw is new and one
in eight has its label, so that no row suffers from overfitting; what differs is the latent, and the weight
of the labels. Random and simplex means are behind couplings of dense networks on all 2,000 values, the pooled
ones behind couplings of convolutions on the map. ECE has 15 bins, on 8,000 new draws. "One temperature" is
the logit divided by one number, fitted to 1,000 other labelled draws.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from sklearn.datasets import make_moons
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.semi_supervised import LabelSpreading
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parent))

from flowgmm_figure import Fitted, save
from flowgmm_posterior import FLAT, MAPS, Labels, Values, latent_of, losses, run_calibration, train

from secondread.drawing.palette import ABNORMAL, FINDINGS, NORMAL
from secondread.flows.flow import Flow
from secondread.flows.mixture import GaussianMixture, PooledMixture

SEEDS, STARTS = (0, 1, 2), 3


@dataclass(frozen=True)
class Toy:
    name: str
    draw: Callable[[int, int], tuple[Values, Labels]]
    classes: int
    labelled: int
    means: Literal["simplex"] | Tensor
    steps: int
    colours: tuple[str, ...]


def moons(n: int, seed: int) -> tuple[Values, Labels]:
    return make_moons(n, noise=0.1, random_state=seed)


def eight_gaussians(n: int, seed: int) -> tuple[Values, Labels]:
    random = np.random.default_rng(seed)
    labels = random.integers(0, 8, n)
    angle = labels * math.pi / 4
    return 4 * np.stack((np.cos(angle), np.sin(angle)), axis=1) + 0.5 * random.normal(size=(n, 2)), labels


CIRCLE = 4 * torch.tensor([[math.cos(k * math.pi / 4), math.sin(k * math.pi / 4)] for k in range(8)])
TOYS = (
    Toy("two moons", moons, 2, 5, "simplex", 1000, (NORMAL, ABNORMAL)),
    Toy("eight Gaussians", eight_gaussians, 8, 3, CIRCLE, 500, tuple(colour for colour, _ in FINDINGS)),
)


@dataclass(frozen=True)
class Case:
    """The points of a toy and one seed, standardised by the training points."""

    points: Values
    labels: Labels
    known: Labels
    test_points: Values
    test_labels: Labels

    @classmethod
    def of(cls, toy: Toy, seed: int) -> Case:
        points, labels = toy.draw(1000, seed)
        test_points, test_labels = toy.draw(2000, 1000 + seed)
        random = np.random.default_rng(100 + seed)
        each = [random.permutation(np.flatnonzero(labels == k))[: toy.labelled] for k in range(toy.classes)]
        mean, deviation = points.mean(axis=0), points.std(axis=0)
        return cls(
            (points - mean) / deviation,
            labels,
            np.concatenate(each),
            (test_points - mean) / deviation,
            test_labels,
        )


def as_maps(points: Values) -> Tensor:
    return torch.as_tensor(points, dtype=torch.float32)[:, :, None]


def fit_toy(toy: Toy, case: Case, seed: int) -> tuple[Flow, float]:
    """The flow, and its final loss on the training points."""
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    mixture = GaussianMixture(toy.classes, 2, means=toy.means, learn_weights=False)
    flow = Flow(1, 2, blocks=8, hidden=64, latent=PooledMixture(2, mixture), generator=generator)
    x, known = as_maps(case.points), torch.as_tensor(case.known)
    labels = torch.as_tensor(case.labels)[known]

    def loss() -> Tensor:
        batch = torch.cat((known, torch.randperm(len(x), generator=generator)[:250]))
        unlabelled, cross_entropy = losses(flow, x[batch], torch.arange(len(known)), labels)
        return unlabelled + cross_entropy

    train(flow, toy.steps, 3e-3, loss)
    with torch.no_grad():
        unlabelled, cross_entropy = losses(flow, x, known, labels)
    return flow, float(unlabelled + cross_entropy)


def classes_by(flow: Flow, points: Values) -> Labels:
    with torch.no_grad():
        return latent_of(flow).log_posterior(flow(as_maps(points))[0]).argmax(dim=1).numpy()


def peers(case: Case) -> dict[str, float]:
    """Accuracy on the test points of what else learns from the same labels."""
    x, y = case.points[case.known], case.labels[case.known]
    hidden = np.full_like(case.labels, -1)
    hidden[case.known] = y
    fitted = {
        "logistic regression": LogisticRegression().fit(x, y),
        "1 nearest neighbour": KNeighborsClassifier(1).fit(x, y),
        "label spreading": LabelSpreading().fit(case.points, hidden),
    }
    return {name: float(model.score(case.test_points, case.test_labels)) for name, model in fitted.items()}


def run_toy(toy: Toy) -> Fitted:
    """Print the toy's rows; the fit of seed 0 for the figure."""
    others: dict[str, list[float]] = {}
    chosen, shown = [], []
    for seed in SEEDS:
        case = Case.of(toy, seed)
        for name, accuracy in peers(case).items():
            others.setdefault(name, []).append(accuracy)
        starts = []
        for start in range(STARTS):
            flow, loss = fit_toy(toy, case, 10 * seed + start)
            accuracy = float((classes_by(flow, case.test_points) == case.test_labels).mean())
            starts.append((loss, accuracy, flow))
        best = min(starts, key=lambda start: start[0])
        chosen.append(best[1])
        shown.append(", ".join(f"{accuracy:.3f}" for _, accuracy, _ in starts))
        if seed == SEEDS[0]:
            first = Fitted(toy.name, case.points, case.labels, case.known, best[2], toy.colours)
    print(f"| {toy.name} | FlowGMM | {per_seed(chosen)} | {' · '.join(shown)} |", flush=True)
    for name, accuracies in others.items():
        print(f"| {toy.name} | {name} | {per_seed(accuracies)} | |", flush=True)
    return first


def per_seed(values: list[float]) -> str:
    return ", ".join(f"{value:.3f}" for value in values)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("-o", "--output", type=Path, required=True)
    output = parser.parse_args().output
    output.mkdir(parents=True, exist_ok=True)
    print("| case | method | accuracy, per seed | each start |\n| --- | --- | --- | --- |")
    fitted = [run_toy(toy) for toy in TOYS]
    posteriors = {}
    for channels, positions, settings in ((2, 1, FLAT), (20, 100, MAPS)):
        print(f"\n| {channels * positions:,} dimensions | means apart | ECE | accuracy ", end="")
        print("| outside 0.01–0.99 | ECE, one temperature |\n| --- | --- | --- | --- | --- | --- |")
        title = f"{channels * positions:,} dimensions"
        posteriors[title] = run_calibration(settings, channels, positions, SEEDS)
    save(output / "flowgmm-toys", fitted, posteriors)


if __name__ == "__main__":
    main()
