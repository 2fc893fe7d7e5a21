"""Why DDAD's refiner does not gain: what its maps show of what is drawn, and what it learns from others.

    python benchmarks/results/refinement.py DEVELOPMENT.csv -o OUT.jsonl --ensemble aeu-16 --seed 0
    python benchmarks/results/refinement.py phantoms -o OUT.jsonl --ensemble aeu-16

DEVELOPMENT.csv is of `development_split.py --learn-abnormal`: its test rows are training images too. Declared
before a run: 64×64 (with `--half` 32×32), hidden layer 512, three networks in each ensemble, batches of 16,
200 normals, 150 unlabelled images of which 90 are abnormal, 100 held-out normals of other patients; networks
are trained in bfloat16 (autocast) and judged in float32. Ensembles:

    aeu-16, aeu-256   AE-U with a code of 16 (the paper's) and of 256 numbers
    spatial           AE-U with a code of 16 channels at 4×4 places, 256 numbers as well

At the epochs of `--lengths` a line `shown` for each kind of anomaly and map, from two anomalies drawn in each
held-out normal x, which becomes x':

    place      AUROC over pixels of the map of x' for what is drawn, mean over images
    at rest    the same of a map that is standardised at each pixel by its mean and deviation over normals
    change     the same of |map of x' - map of x|, which no method can know: what x' adds, without the rest
    focus      mean change inside what is drawn over mean change elsewhere
    level      AUROC of the map's mean for x' against x

At the last length refiners of width 32 (300 steps of 8 images, 1e-3, the paper's loss, betas and weight
decay) learn from `inter` and `intra`, and from the error beside them (`rec`, or signed: (x - m_b) / sqrt(s)).
`visible` is the control: inter and intra times 1.5 where something is drawn. A line of each tells place and
level of its own map on held-out normals, the AUROC of its mean on the development rows after every 100 steps,
and that mean's rank correlation with A_inter among development normals.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr
from torch import Tensor
from torch.nn import functional

from secondread import Manifest, Recipe, make_phantoms, read_image
from secondread.anomalies.build import build_anomalies
from secondread.cohorts.row import Row, patient_of
from secondread.detectors.blocks.reconstruction import symmetric
from secondread.detectors.contract import Batch
from secondread.detectors.reconstruction.ddad import DDAD, DDADSettings
from secondread.metrics.roc import auroc
from secondread.networks.ensemble import Ensemble
from secondread.networks.reconstruction import SpatialAutoencoder
from secondread.networks.refiner import Refiner, focal_loss
from secondread.preprocessing.preprocessing import Preprocessing

SIZE, BATCH = (64, 64), 16
LEARN, UNLABELLED, RATE, HELD_OUT = 200, 150, 0.6, 100
LATENT = {"aeu-16": 16, "aeu-256": 256, "spatial": 16}
KINDS = ("fpi", "pii", "nsa", "cutpaste", "draem", "blobs", "deformation", "mixture")
MAPS = ("inter", "intra", "rec")
STEPS, EVERY = 300, 100
Maps = dict[str, Tensor]


@dataclass(frozen=True)
class Images:
    """`[N, 1, *size]` each; `lesions` float, where the abnormal ones are so, where that is known."""

    learn: Tensor
    unlabelled: Tensor
    held_out: Tensor
    normal: Tensor
    abnormal: Tensor
    lesions: Tensor | None


def load(manifest: Manifest, seed: int) -> Images:
    preprocessing = Preprocessing(Recipe.load("ddad-aeu").preprocessing)
    generator = np.random.default_rng(seed)

    def pixels(rows: Sequence[Row]) -> Tensor:
        read = [preprocessing.apply(read_image(manifest.base / row.path)).pixels for row in rows]
        return torch.from_numpy(np.stack(read))

    def of(split: str, label: str) -> list[Row]:
        return [row for row in manifest.rows if (row.split, row.label) == (split, label)]

    known = of("train", "normal")
    place = {str(p): i for i, p in enumerate(generator.permutation(sorted({patient_of(r) for r in known})))}
    known.sort(key=lambda row: place[patient_of(row)])
    held = {patient_of(row) for row in known[:HELD_OUT]}
    rest = [row for row in known if patient_of(row) not in held]
    ill = of("train", "abnormal")
    abnormal = round(RATE * UNLABELLED)
    mixed = [ill[i] for i in generator.permutation(len(ill))[:abnormal]]
    mixed += rest[LEARN : LEARN + UNLABELLED - abnormal]
    judged = of("test", "abnormal")
    lesions = None
    if all(row.mask for row in judged):
        masks = [np.asarray(read_image(manifest.base / row.mask).pixels).squeeze() > 0 for row in judged]
        lesions = torch.from_numpy(np.stack(masks))[:, None].float()
    return Images(
        *map(pixels, (rest[:LEARN], mixed, known[:HELD_OUT], of("test", "normal"), judged)), lesions
    )


def kept(name: str, seed: int, folder: Path) -> Images:
    """Of a manifest, or of phantoms that are drawn: read once, then from `folder`."""
    place = folder / f"{Path(name).stem}-{seed}.pt"
    if place.exists():
        return Images(**torch.load(place))
    with tempfile.TemporaryDirectory() as drawn:
        source = Path(name)
        if name == "phantoms":
            counts = {"n_normal": 420, "n_test_normal": 60, "n_abnormal": 150, "n_train_abnormal": 90}
            source = make_phantoms(drawn, seed=seed, size=SIZE, lesion_contrast=3.0, **counts)
        images = load(Manifest.read(source), seed)
    torch.save(vars(images), place)
    return images


def halved(images: Images) -> Images:
    """At half the size, each pixel the mean of four."""
    return Images(**{n: None if x is None else functional.avg_pool2d(x, 2) for n, x in vars(images).items()})


def build(name: str, seed: int, size: tuple[int, ...]) -> DDAD:
    torch.manual_seed(seed)
    network = {"width": 16, "hidden": 512, "latent": LATENT[name]}
    settings = {"backbone": {"name": "aeu", "network": network}, "score": "inter", "refiners": []}
    detector = DDAD(DDADSettings.model_validate(settings), 1, size)
    if name == "spatial":
        for which in ("normal", "mixed"):
            made = Ensemble(lambda: SpatialAutoencoder(2, 1, 2, size, **network), detector.settings.members)
            setattr(detector, which, made)
    return detector.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def trained(detector: DDAD, images: Images, lengths: Sequence[int], seed: int) -> Iterator[int]:
    """Trains both ensembles, and stops at each length."""
    generator = torch.Generator().manual_seed(seed)
    assert detector.mixed is not None
    both = torch.cat((images.learn, images.unlabelled))
    parts = [(detector.normal, images.learn), (detector.mixed, both)]
    optimisers = [torch.optim.Adam(e.parameters(), lr=5e-4, betas=(0.5, 0.999)) for e, _ in parts]
    for epoch in range(1, max(lengths) + 1):
        detector.train()
        for (ensemble, known), optimiser in zip(parts, optimisers, strict=True):
            order = torch.randperm(len(known), generator=generator)
            for chosen in order.chunk(max(1, len(known) // BATCH)):
                batch = {"normal": Batch(known[chosen].contiguous(memory_format=torch.channels_last))}
                with torch.autocast("cpu", torch.bfloat16):
                    losses = [
                        detector.reconstruction_loss(network, ("normal",), batch, generator)
                        for network in ensemble.members
                    ]
                optimiser.zero_grad()
                sum(value for terms in losses for value in terms.values()).backward()  # type: ignore[union-attr]
                optimiser.step()
        if epoch in lengths:
            detector.eval()
            yield epoch


@torch.no_grad()
def maps_of(detector: DDAD, images: Tensor) -> Maps:
    found: list[Maps] = []
    for part in images.split(100):
        x = symmetric(part)
        maps, outputs = detector.discrepancies(x)
        centre = torch.stack([detector.kind.mean(output) for output in outputs]).mean(dim=0)
        found.append({**maps, "signed": (x - centre).sign() * maps["rec"].sqrt()})
    return {name: torch.cat([maps[name] for maps in found]) for name in found[0]}


def draw(kind: str, images: Tensor, share: float, seed: int) -> tuple[Tensor, Tensor]:
    """Images with anomalies, and bool where they are."""
    made = build_anomalies({"name": kind, "share": share}, "here")
    generator = torch.Generator().manual_seed(seed)
    drawn = [made(part, generator) for part in images.split(100)]
    return torch.cat([one.images for one in drawn]), torch.cat([one.target > 0 for one in drawn])


def place(values: Tensor, target: Tensor) -> float:
    """Mean over images of the AUROC over pixels; images without a target are left out."""
    areas = [
        auroc(where.flatten().numpy(), of.flatten().numpy())
        for of, where in zip(values, target, strict=True)
        if where.any() and not where.all()
    ]
    return float(np.mean(areas))


def rises(first: Tensor, second: Tensor) -> float:
    """AUROC of the mean of the second maps against that of the first."""
    levels = [values.flatten(1).mean(dim=1) for values in (first, second)]
    labels = [False] * len(first) + [True] * len(second)
    return auroc(labels, torch.cat(levels).numpy())


def shown(detector: DDAD, images: Images, kinds: Sequence[str], seed: int) -> Iterator[dict[str, Any]]:
    known = maps_of(detector, images.learn)
    x = torch.cat((images.held_out, images.held_out))
    before = maps_of(detector, x)
    for kind in kinds:
        changed, target = draw(kind, x, 1.0, seed)
        after = maps_of(detector, changed)
        for name in MAPS:
            change = (after[name] - before[name]).abs()
            at_rest = (after[name] - known[name].mean(dim=0)) / known[name].std(dim=0).clamp_min(1e-6)
            yield {
                "what": "shown", "kind": kind, "map": name, "place": place(after[name], target),
                "at rest": place(at_rest, target), "change": place(change, target),
                "focus": float(change[target].mean() / change[~target].mean()),
                "level": rises(before[name], after[name]),
            }  # fmt: skip


def refined(
    detector: DDAD, images: Images, kind: str, inputs: Sequence[Sequence[str]], seed: int
) -> Iterator[dict[str, Any]]:
    """A line for each set of inputs; `visible` in it makes the control of it."""
    pool = images.learn.repeat(8, 1, 1, 1)
    changed, target = draw(kind, pool, 0.5, seed)
    taught = maps_of(detector, changed)
    changed, where = draw(kind, images.held_out, 1.0, seed + 1)
    asked, clean = maps_of(detector, changed), maps_of(detector, images.held_out)
    judged = [maps_of(detector, part) for part in (images.normal, images.abnormal)]
    for names in inputs:
        raised = 1.5 if "visible" in names else 1.0

        def joined(
            maps: Maps, drawn: Tensor | None = None, names: Sequence[str] = names, raised: float = raised
        ) -> Tensor:
            values = torch.cat([maps[name] for name in names if name != "visible"], dim=1)
            return values if drawn is None else torch.where(drawn, raised * values, values)

        torch.manual_seed(seed)
        learned = joined(taught, target)
        refiner = Refiner(2, learned.shape[1], 32)
        optimiser = torch.optim.Adam(refiner.parameters(), lr=1e-3, betas=(0.5, 0.999), weight_decay=1e-4)
        generator = torch.Generator().manual_seed(seed)

        @torch.no_grad()
        def abnormal(values: Tensor, refiner: Refiner = refiner) -> Tensor:
            refiner.eval()
            made = torch.cat([refiner(part).softmax(dim=1)[:, 1:] for part in values.split(100)])
            refiner.train()
            return made

        along = []
        for step in range(1, STEPS + 1):
            chosen = torch.randint(len(learned), (8,), generator=generator)
            optimiser.zero_grad()
            focal_loss(refiner(learned[chosen]), target[chosen]).mean().backward()
            optimiser.step()
            if step % EVERY == 0:
                first, second = (abnormal(joined(maps)) for maps in judged)
                along.append(rises(first, second))
        found = abnormal(joined(asked, where))
        levels = [values.flatten(1).mean(dim=1).numpy() for values in (first, judged[0]["inter"])]
        line = {
            "what": "refined", "kind": kind, "inputs": "+".join(names), "place": place(found, where),
            "level": rises(abnormal(joined(clean)), found), "development": along,
            "with inter": float(spearmanr(*levels).statistic),
        }  # fmt: skip
        if images.lesions is not None:
            line["lesions"] = place(second, images.lesions > 0)
        yield line


def development(detector: DDAD, images: Images) -> dict[str, Any]:
    first, second = (maps_of(detector, part) for part in (images.normal, images.abnormal))
    line: dict[str, Any] = {
        "what": "development",
        **{name: rises(first[name], second[name]) for name in MAPS},
    }
    if images.lesions is not None:
        line["lesions"] = {name: place(second[name], images.lesions > 0) for name in MAPS}
    return line


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("manifest", help="or `phantoms`: drawn films, three times as bright lesions")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--ensemble", choices=list(LATENT), default="aeu-16")
    parser.add_argument("--lengths", type=int, nargs="+", default=[20, 60])
    parser.add_argument("--kinds", nargs="*", default=KINDS)
    parser.add_argument(
        "--refine",
        nargs="*",
        default=["fpi:inter+intra"],
        help="KIND:INPUT+INPUT[+visible], one refiner each",
    )
    parser.add_argument("--half", action="store_true", help="images of 32×32, means of four pixels each")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    torch.set_num_threads(1)
    images = kept(given.manifest, given.seed, given.output.parent)
    images = halved(images) if given.half else images
    detector = build(given.ensemble, given.seed, tuple(images.learn.shape[2:]))
    facts = {
        "data": Path(given.manifest).stem,
        "ensemble": given.ensemble,
        "seed": given.seed,
        "half": given.half,
    }
    sets: dict[str, list[list[str]]] = {}
    for one in given.refine:
        kind, _, names = one.partition(":")
        sets.setdefault(kind, []).append(names.split("+"))

    def lines(length: int) -> Iterator[dict[str, Any]]:
        yield development(detector, images)
        yield from shown(detector, images, given.kinds, given.seed)
        if length == max(given.lengths):
            for kind, inputs in sets.items():
                yield from refined(detector, images, kind, inputs, given.seed)

    for length in trained(detector, images, given.lengths, given.seed):
        for line in lines(length):
            told = {**facts, "epochs": length, **line, "cpu s": round(time.process_time(), 1)}
            with given.output.open("a") as file:
                file.write(json.dumps(told) + "\n")
            print(told, flush=True)


if __name__ == "__main__":
    main()
