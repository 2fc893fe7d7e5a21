"""Scoring throughput, end to end (file to reading) and part by part, and as a share of the arithmetic floor.

The floor is the floating-point operations of encoder, flow and decoder divided by the rate that this
machine reaches, in the same run, threads and precision, on a square matrix product or on a convolution of
3×3, whichever is faster (torch gives float32 products to MKL, and convolutions to oneDNN, which is faster on
AMD). Parts are timed one image at a time, as `score` asks for them, as CPU time of this process, and given as
the median over rounds that take the parts in turn, so that a noisy machine bends all of them alike. The
encoder of `aeflow` runs in float32 whatever the precision is. End to end is wall-clock time of `score`, apart
for what comes once (worker processes start and import) and for each further image: two runs, of a quarter of
the images and of all, give both.

    python benchmarks/speed/throughput.py --preset aeflow --set detector.encoder.name=resnet18 \\
        --set detector.encoder.weights=random

The detector is fitted for a few steps on phantoms made on the spot: enough for speed, not for sense.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "machines"))
from floating_point import cpu_seconds, operations, rates

from secondread.bundles.bundle import Bundle
from secondread.cohorts.manifest import Manifest
from secondread.cohorts.phantoms.make import make_phantoms
from secondread.detectors.contract import Batch
from secondread.detectors.flows.aeflow import AEFlow
from secondread.fitting.fit import fit
from secondread.images.read import read_image
from secondread.networks.structural_similarity import structural_similarity
from secondread.preprocessing.prepare import prepare_many
from secondread.preprocessing.prepared import Prepared, stack
from secondread.readings.score_into import score_into
from secondread.recipes.recipe import Recipe
from secondread.scoring.bf16_speed import processor_name
from secondread.scoring.device import Precision, autocast, choose_precision, memory_format
from secondread.scoring.scorer import Scorer


def asked_in(precision: str, bundle: Bundle) -> Precision:
    """The precision given on the command line, or that of the bundle's scores, which its recipe chose."""
    return choose_precision(bundle.precision if precision == "recipe" else precision, torch.device("cpu"))


def parts(bundle: Bundle, references: list[str], batch: int, precision: str, rounds: int) -> dict[str, float]:
    """CPU milliseconds per image of each part."""
    detector = bundle.detector
    assert isinstance(detector, AEFlow)
    detector.eval()
    images = [read_image(r) for r in references[:batch]]
    prepared = [bundle.preprocessing.apply(image) for image in images]
    pixels, valid = stack(prepared)
    x = torch.from_numpy(pixels).to(memory_format=memory_format(len(detector.size)))
    digests = [p.digest for p in prepared]
    kind = asked_in(precision, bundle)
    spent: dict[str, list[float]] = {}
    with torch.inference_mode(), autocast(torch.device("cpu"), kind):
        alone = [x[i : i + 1].contiguous(memory_format=memory_format(x.ndim - 2)) for i in range(len(x))]
        maps = [detector.encode(one)[0] for one in alone]
        codes = [detector.flow.transform(detector.normalisation(h))[0] for h in maps]
        decoded = [detector.decoder(z) for z in codes]
        work: dict[str, Callable[[], object]] = {
            "decode": lambda: [read_image(r) for r in references[:batch]],
            "preprocess": lambda: [bundle.preprocessing.apply(image) for image in images],
            "encoder": lambda: [detector.encode(one) for one in alone],
            "flow": lambda: [detector.flow.transform(detector.normalisation(h)) for h in maps],
            "decoder": lambda: [detector.decoder(z) for z in codes],
            "similarity": lambda: [
                structural_similarity((image + 1) / 2, one, None)
                for image, one in zip(decoded, alone, strict=True)
            ],
        }
        for _ in range(rounds):
            for name, part in work.items():
                spent.setdefault(name, []).append(cpu_seconds(part))
    whole = lambda: Scorer(detector, precision=kind).batch(pixels, valid, digests)  # noqa: E731
    baselines = lambda: [  # noqa: E731
        Scorer(companion, precision="float32").batch(pixels, valid, digests, maps=False)
        for companion in bundle.companions.detectors.values()
    ]
    for _ in range(rounds):
        spent.setdefault("score (all of the detector)", []).append(cpu_seconds(whole))
        spent.setdefault("companions (baselines)", []).append(cpu_seconds(baselines))
    return {name: 1000 * statistics.median(values) / batch for name, values in spent.items()}


def end_to_end(
    bundle: Bundle, references: list[str], place: Path, *, maps: bool, processes: int
) -> tuple[float, float]:
    """Wall-clock seconds that come once, and milliseconds for each further image."""
    quarter = max(1, len(references) // 4)
    seconds = []
    for chosen in (references[:quarter], references):
        begun = time.monotonic()
        out = place / f"readings-{maps}-{len(chosen)}"
        score_into(bundle, list(chosen), out, maps=maps, processes=processes)
        seconds.append(time.monotonic() - begun)
    each = (seconds[1] - seconds[0]) / (len(references) - quarter)
    return max(0.0, seconds[1] - each * len(references)), 1000 * each


def training_rate(detector: AEFlow, pixels: torch.Tensor, precision: str, steps: int = 6) -> float:
    """Gradient steps per CPU second, without features kept."""
    kind = choose_precision(precision, torch.device("cpu"))
    detector.train()
    trained = [*detector.flow.parameters(), *detector.decoder.parameters()]
    optimiser = torch.optim.Adam(trained, 1e-4)
    batch = {"normal": Batch(pixels, None, detector.encode(pixels))}
    generator = torch.Generator().manual_seed(0)

    def step() -> None:
        with autocast(torch.device("cpu"), kind):
            total = sum(detector.loss(batch, generator).values())
        total.backward()
        optimiser.step()
        optimiser.zero_grad()

    step()
    return steps / sum(cpu_seconds(step) for _ in range(steps))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--preset", default="aeflow")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--images", type=int, default=192, help="scored end to end")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--processes",
        type=int,
        default=1,
        help="that compute end to end, each with a share of OMP_NUM_THREADS",
    )
    parser.add_argument("--precision", default="recipe", help="recipe: what the bundle is scored in")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    recipe = Recipe.load(given.preset, set=[*given.set, "stages.flow.epochs=null", "stages.flow.steps=3"])
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        count = 60 + given.images
        size = recipe.preprocessing.size
        phantoms = make_phantoms(
            place / "phantoms",
            seed=0,
            n_normal=count,
            n_abnormal=8,
            n_test_normal=given.images,
            size=size,
        )
        manifest = Manifest.read(phantoms)
        bundle = fit(recipe, manifest, place / "bundle", cache=place / "cache", progress=False)
        detector = bundle.detector
        assert isinstance(detector, AEFlow)
        references = [manifest.reference(row) for row in manifest.rows if row.split == "test"]
        found = prepare_many(references[: given.batch], bundle.preprocessing, workers=0)
        pixels = torch.from_numpy(np.stack([p.pixels for p in found if isinstance(p, Prepared)]))
        kind = asked_in(given.precision, bundle)
        found_rates = {
            name: rates(dtype)
            for name, dtype in (("float32", torch.float32), ("bf16", torch.bfloat16))
            if name in ("float32", kind)
        }
        fastest = {name: max(reached.values()) for name, reached in found_rates.items()}
        flops = operations(detector, pixels)
        spent = parts(bundle, references, given.batch, given.precision, given.rounds)
        print(f"{given.preset} {' '.join(given.set)}: {size}, {kind}, {given.threads} thread(s)")
        for name, reached in found_rates.items():
            told = ", ".join(f"{what} {rate / 1e9:.0f}" for what, rate in reached.items())
            print(f"{processor_name()}, {name}, Gflop per CPU second: {told}")
        floors = {
            name: 1000 * count / fastest["float32" if name == "encoder" else kind]
            for name, count in flops.items()
        }
        for name, milliseconds in spent.items():
            floor = floors.get(name)
            share = "" if floor is None else f"   floor {floor:6.2f} ms   {floor / milliseconds:5.1%} of it"
            print(f"  {name:28s} {milliseconds:7.2f} ms per image{share}")
        floor = sum(floors.values())
        all_of_it = spent["score (all of the detector)"]
        print(f"  floor of all {floor:.2f} ms per image; scoring reaches {floor / all_of_it:.1%} of it")
        for maps in (False, True):
            start, each = end_to_end(bundle, references, place, maps=maps, processes=given.processes)
            kind_of_run = "end to end with maps" if maps else "end to end"
            print(
                f"  {kind_of_run}: {1000 / each:.1f} images per second after {start:.1f} s of start-up; "
                f"all {len(references)}: {len(references) / (start + each * len(references) / 1000):.1f}"
            )
        share = spent["companions (baselines)"] / (all_of_it + spent["companions (baselines)"])
        print(f"  companions: {share:.0%} of what is computed for a reading")
        print(f"  training: {training_rate(detector, pixels, kind):.2f} steps per CPU second")
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        workers = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
        print(f"  peak memory: {peak:.2f} GiB here, {workers:.2f} GiB in the largest worker")


if __name__ == "__main__":
    main()
