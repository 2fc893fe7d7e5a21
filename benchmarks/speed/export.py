"""Detectors as graphs: which export, how far their scores lie from torch's, how fast and how large each is.

For each preset: its detector at the preset's size after a step or two of each stage on 16 smooth random
images (enough for speed; training would widen the spread of scores), exported, and asked for the same 8
images in two fresh processes, one with torch and one with onnxruntime alone, each in one thread. Images per
second are per second of processor time, the best of the rounds after one that is not counted; memory is the
process's peak, with the interpreter and its packages. Differences are of mixed scores, as shares of their
spread over 32 other images of the same kind; `own` is what torch's scores move by where every pixel moves by
its last bit.

    python benchmarks/speed/export.py ae padim glow-cxr-small
    python benchmarks/speed/export.py --tiny    # every detector in the laws' tiny form; nothing is timed

An encoder takes random weights with `--set detector.encoder.weights=random`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

if not {"--torch", "--onnxruntime"} & set(sys.argv):  # what the processes that are measured do not load
    import torch

    sys.path[:0] = [
        str(Path(__file__).parents[1] / "machines"),
        str(Path(__file__).parents[2] / "tests/laws"),
    ]
    from graph_in_onnxruntime import GraphInOnnxruntime
    from one_at_a_time import fitted, smooth_noise

    from secondread.calibration.calibration import Calibration
    from secondread.detectors import DETECTORS
    from secondread.detectors.contract import Detector
    from secondread.exporting.agreement import SHARE, Agreement, agreement
    from secondread.exporting.graph import export_detector
    from secondread.recipes.recipe import presets
    from secondread.scoring.bf16_speed import processor_name
    from secondread.scoring.scorer import Scorer

    torch.set_num_threads(1)

IMAGES, NORMALS, ROUNDS = 8, 32, 3
SHORTEST_S = 0.05
HEAD = (
    "| preset | graph | difference, spreads | own, spreads | MB | images/s torch | onnxruntime | MB torch | "
    "onnxruntime |\n| --- | --- | --- | --- | --- | --- | --- | --- | --- |"
)
PLACES = ("state.pt", "images.npz", "facts.json")


def timed(score: Callable[[], object], rounds: int) -> float:
    """Seconds of processor time of the best round after a first; a round is repeated until its clock, which
    may tick as seldom as once in 10 ms, has something to say."""
    score()
    found = []
    for _ in range(rounds):
        start, times = time.process_time(), 0
        while (spent := time.process_time() - start) < SHORTEST_S or not times:
            score()
            times += 1
        found.append(spent / times)
    return min(found)


def peak() -> float:
    """MB, of this program alone: what getrusage says includes the program that started it."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def in_torch(folder: Path) -> None:
    """What a fresh process with torch needs."""
    import torch

    from secondread.recipes.build import build_detector
    from secondread.recipes.recipe import Recipe
    from secondread.scoring.scorer import Scorer

    torch.set_num_threads(1)
    recipe = Recipe.load(folder / "recipe.yaml")
    detector = build_detector(recipe, pretrained=False).load_fitted(torch.load(folder / PLACES[0]))
    images = np.load(folder / PLACES[1])["images"]
    digests = json.loads((folder / PLACES[2]).read_text())["digests"]
    scorer = Scorer(detector, precision="float32")
    taken = timed(lambda: scorer.batch(images, None, digests), ROUNDS)
    print(json.dumps({"rate": len(images) / taken, "memory": peak()}))


def in_onnxruntime(folder: Path) -> None:
    """And one without."""
    import onnxruntime

    from secondread.exporting.draws import Draw, drawn

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(folder / "model.onnx", options)
    facts = json.loads((folder / PLACES[2]).read_text())
    draws = [Draw(kind, tuple(shape)) for kind, shape in facts["draws"]]
    images = np.load(folder / PLACES[1])["images"]
    valid = np.ones((1, 1, *images.shape[2:]), bool)

    def score() -> None:
        for image, digest in zip(images, facts["digests"], strict=True):
            given = {f"draw.{number}": values for number, values in enumerate(drawn(draws, digest))}
            session.run(None, {"pixels": image[None], "valid": valid, **given})

    taken = timed(score, ROUNDS)
    assert "torch" not in sys.modules
    print(json.dumps({"rate": len(images) / taken, "memory": peak()}))


def child(engine: str, folder: Path) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, __file__, f"--{engine}", str(folder)], capture_output=True, text=True
    )
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1])
    return json.loads(done.stdout)


def row_of(preset: str, assignments: Sequence[str]) -> str:
    """A preset's line of the table."""
    from secondread.errors import UserError
    from secondread.exporting.graph import refuse_without_graph
    from secondread.recipes.build import build_detector
    from secondread.recipes.recipe import Recipe

    recipe = Recipe.load(preset, assignments)
    try:
        refuse_without_graph(build_detector(recipe, pretrained=False))
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            detector = fitted(recipe, folder / "fit")
            found, large = compared(detector, folder)
            (folder / "recipe.yaml").write_text(recipe.to_yaml())
            torch.save(detector.state_dict(), folder / PLACES[0])
            by_torch, by_graph = child("torch", folder), child("onnxruntime", folder)
    except UserError as error:
        return refused(preset, error)
    return (
        f"{found_of(preset, found)} {large:.1f} | {by_torch['rate']:.3g} | {by_graph['rate']:.3g} | "
        f"{by_torch['memory']:.0f} | {by_graph['memory']:.0f} |"
    )


def tiny_row_of(name: str) -> str:
    """A detector's line in the laws' tiny form, which no one times."""
    from secondread.detectors import find
    from secondread.errors import UserError
    from secondread.exporting.graph import refuse_without_graph
    from secondread.training.loop import train

    kind = find(name)
    tiny = kind.tiny(min(kind.ranks))
    torch.manual_seed(0)
    detector = kind(tiny.settings, tiny.channels, tiny.size)
    try:
        refuse_without_graph(detector)
        cohorts = ("normal", "validation", "unlabelled", "abnormal", "auxiliary")
        images = {
            cohort: smooth_noise(16, tiny.channels, tuple(tiny.size), seed)
            for seed, cohort in enumerate(cohorts)
        }
        train(detector, images, tiny.stages, seed=0, device="cpu", progress=False, precision="float32")
        with tempfile.TemporaryDirectory() as place:
            found, large = compared(detector, Path(place))
    except UserError as error:
        return refused(name, error)
    return f"{found_of(name, found)} {large:.2f} |"


def compared(detector: Detector, folder: Path) -> tuple[Agreement, float]:
    """The agreement of a detector's graph, written into the folder with what other processes need, and its
    size in MB."""
    facts = export_detector(detector, folder)
    size = (detector.channels, tuple(detector.size))
    images, normals = smooth_noise(IMAGES, *size, seed=8), smooth_noise(NORMALS, *size, seed=9)
    pixels, _ = images.batch(range(IMAGES))
    np.savez(folder / PLACES[1], images=pixels)
    draws = [(draw.kind, draw.shape) for draw in facts.draws]
    (folder / PLACES[2]).write_text(json.dumps({"digests": list(images.digests), "draws": draws}))
    scorer = Scorer(detector, precision="float32")
    of_normals = scorer.batch(*normals.batch(range(NORMALS)), normals.digests, maps=False)
    calibration = Calibration.fit(of_normals, of_normals, mixture=detector.mixture())
    graph = GraphInOnnxruntime(folder, facts)
    ask = partial(scorer.batch, maps=False)
    found = agreement(ask, graph.batch, calibration, pixels, None, images.digests)
    return found, sum((folder / name).stat().st_size for name in facts.files) / 2**20


def found_of(name: str, found: Agreement) -> str:
    said = "yes" if found.in_spreads <= SHARE else "yes, by rounding" if found.agrees else "refused"
    return f"| {name} | {said} | {found.in_spreads:.1e} | {found.own / (found.spread or 1):.1e} |"


def refused(name: str, error: Exception) -> str:
    _, no_graph, why = str(error).partition("no graph: it ")
    return f"| {name} | no: it {why.rpartition(';')[0]} |" if no_graph else f"| {name} | {error} |"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("presets", nargs="*")
    parser.add_argument("--tiny", action="store_true", help="the laws' tiny forms of detectors")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--torch", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--onnxruntime", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.torch:
        return in_torch(given.torch)
    if given.onnxruntime:
        return in_onnxruntime(given.onnxruntime)
    print(f"{processor_name()}\n\n{HEAD}", flush=True)
    row = tiny_row_of if given.tiny else partial(row_of, assignments=given.set)
    for preset in given.presets or (DETECTORS if given.tiny else [p.name for p in presets()]):
        try:
            print(row(preset), flush=True)
        except Exception as error:  # the others go on
            print(f"| {preset} | {type(error).__name__}: {str(error).splitlines()[0][:200]} |", flush=True)
    return None


if __name__ == "__main__":
    main()
