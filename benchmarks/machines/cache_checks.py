"""What it costs to believe no cache entry unseen, and whether a damaged or exchanged one is ever used.

    OMP_NUM_THREADS=1 python benchmarks/machines/cache_checks.py [--images 400] [--size 256] [--damages 20000]

Printed are microseconds per entry: opened for the first time in a process (checksum taken), opened again, and
with the check left out; the cost of a batch of 16 is set against these. Then entries and notes are damaged
(bits, bytes, runs of zeros, cut, longer, a part missing, random, empty, exchanged), each looked up once.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image as Pillow

from secondread.preprocessing.cache import entry
from secondread.preprocessing.cache.cache import Cache
from secondread.preprocessing.prepared_set import prepare_set
from secondread.preprocessing.preprocessing import Preprocessing
from secondread.preprocessing.preprocessing_settings import PreprocessingSettings


def films(folder: Path, count: int) -> list[str]:
    draw = np.random.default_rng(0)
    for number in range(count):
        values = draw.integers(0, 255, (96, 96)).astype(np.uint8)
        Pillow.fromarray(values).save(folder / f"{number:05d}.png")
    return [str(path) for path in sorted(folder.iterdir())]


def microseconds(step: Callable[[Path], object], paths: list[Path], before: Callable[[], object]) -> float:
    """Per entry, the best of five runs over all."""
    best = np.inf
    for _ in range(5):
        before()
        begun = time.perf_counter()
        for path in paths:
            step(path)
        best = min(best, (time.perf_counter() - begun) / len(paths))
    return best * 1e6


def damages(data: bytes, other: bytes, draw: np.random.Generator) -> Iterator[tuple[str, bytes]]:
    at, run = int(draw.integers(len(data))), int(draw.integers(1, 4096))
    yield "bit", data[:at] + bytes([data[at] ^ (1 << int(draw.integers(8)))]) + data[at + 1 :]
    yield "byte", data[:at] + bytes([data[at] ^ int(draw.integers(1, 256))]) + data[at + 1 :]
    yield "zeros", data[:at] + bytes(len(data[at : at + run])) + data[at + run :]
    yield "cut", data[:at]
    yield "longer", data + data[: run % 64 + 1]
    yield "part missing", data[:at] + data[at + run :]
    yield "random", draw.bytes(len(data))
    yield "empty", b""
    yield "exchanged", other


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--images", type=int, default=400)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--damages", type=int, default=20_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch, "films")
        folder.mkdir()
        references = films(folder, options.images)
        cache = Cache(Path(scratch, "cache"))
        preprocessing = Preprocessing(PreprocessingSettings(size=(options.size, options.size)))
        begun = time.perf_counter()
        prepared = prepare_set(references, preprocessing, cache=cache, workers=0)
        made = (time.perf_counter() - begun) / len(references) * 1e6
        entries = [cache.entry_path(reference, preprocessing.digest) for reference in references]
        paths = [path for path in entries if path is not None]
        time.sleep(2 * entry.SETTLED_NS / 1e9)

        first = microseconds(entry.read_entry, paths, entry._checked.clear)
        again = microseconds(entry.read_entry, paths, lambda: None)
        batches = [list(range(i, i + 16)) for i in range(0, len(references) - 15, 16)]
        begun = time.perf_counter()
        for batch in batches:
            prepared.batch(batch)
        drawn = (time.perf_counter() - begun) / (16 * len(batches)) * 1e6
        print(f"{paths[0].stat().st_size:,} bytes per entry, {len(paths)} entries")
        print(f"{'prepared from the file':32} {made:9.0f} µs")
        print(f"{'opened first (checked)':32} {first:9.0f} µs   {first / again:.2f} of opened again")
        print(f"{'opened again':32} {again:9.0f} µs")
        print(f"{'drawn in a batch of 16':32} {drawn:9.0f} µs")

        draw = np.random.default_rng(1)
        tried: Counter[str] = Counter()
        used: Counter[str] = Counter()
        while tried.total() < options.damages:
            place, elsewhere = (int(i) for i in draw.choice(len(references), 2, replace=False))
            for path_of in (lambda i: paths[i], lambda i: cache._note_path(references[i])):
                path, data = path_of(place), path_of(place).read_bytes()
                for kind, damaged in damages(data, path_of(elsewhere).read_bytes(), draw):
                    if damaged == data:
                        continue
                    path.write_bytes(damaged)
                    tried[kind] += 1
                    used[kind] += cache.find(references[place], preprocessing.digest) is not None
                path.write_bytes(data)
        told = ", ".join(f"{kind} {used[kind]} of {count}" for kind, count in tried.items())
        print(f"used though damaged: {used.total()} of {tried.total()} ({told})")


if __name__ == "__main__":
    main()
