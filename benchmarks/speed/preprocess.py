"""Images per second of each preprocessing step on one core, and what share of the whole each one takes.

    OMP_NUM_THREADS=1 python benchmarks/speed/preprocess.py [--file-size 224] [--size 256] [--seconds 0.5]

Phantom films of `--file-size` pixels, prepared to `--size`. PIL's resize stands beside ours as the peer.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from itertools import cycle
from pathlib import Path

import numpy as np
from PIL import Image as Pillow
from scipy.ndimage import gaussian_filter

from secondread.images.acquisition import acquisition, thumbnail
from secondread.images.image import Geometry, Image
from secondread.images.read import read_image
from secondread.preprocessing.alignment.align import Aligner, Alignment
from secondread.preprocessing.cache.cache import Cache, fingerprint_of
from secondread.preprocessing.grid import fit_grid
from secondread.preprocessing.percentiles import Percentiles
from secondread.preprocessing.picture import picture_of
from secondread.preprocessing.prepared_set import prepare_set
from secondread.preprocessing.preprocessing import Preprocessing
from secondread.preprocessing.preprocessing_settings import PreprocessingSettings
from secondread.preprocessing.standardise import Standardise
from secondread.preprocessing.window import Window


def films(count: int, size: int) -> list[Image]:
    generator = np.random.default_rng(0)
    base = gaussian_filter(generator.normal(size=(size, size)), size / 12)
    found = []
    for number in range(count):
        values = np.roll(base, tuple(generator.integers(-size // 20, size // 20 + 1, 2)), (0, 1))
        values = values / np.abs(base).max() * 100 + 128 + generator.normal(size=values.shape) * 4
        pixels = np.clip(values, 0, 255).astype(np.uint8)[np.newaxis]
        found.append(Image(pixels, Geometry(), f"film {number}", f"{number:040x}"))
    return found


def rate(step: Callable[[Image], object], images: list[Image], seconds: float) -> float:
    """Images per second, the best of three runs."""
    best = 0.0
    for _ in range(3):
        count, start = 0, time.perf_counter()
        for image in cycle(images):
            step(image)
            count += 1
            if time.perf_counter() - start > seconds:
                break
        best = max(best, count / (time.perf_counter() - start))
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--file-size", type=int, default=224)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--count", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=0.5)
    options = parser.parse_args()
    images = films(options.count, options.file_size)
    target = (options.size, options.size)
    grid = fit_grid(images[0].size, target, "stretch")

    def preprocessing(*steps: dict[str, object]) -> Preprocessing:
        settings = PreprocessingSettings.model_validate(
            {"size": target, "steps": [{"window": "header"}, *steps]}
        )
        return Preprocessing(settings)

    plain, whole = preprocessing(), preprocessing({"align": {}})
    start = time.perf_counter()
    whole.fit(lambda: iter(images))
    fitted_in = time.perf_counter() - start
    prepared = {image.digest: whole.unaligned.apply(image) for image in images}
    moved = {image.digest: whole.apply(image) for image in images}
    aligner = Aligner.fit(Alignment(rounds=1), target, (p.pixels for p in prepared.values()))
    picture = {image.digest: picture_of(image) for image in images}
    matrix = np.array([[1.02, 0.03, -3.0], [-0.02, 0.97, 4.0], [0.0, 0.0, 1.0]])

    steps: dict[str, Callable[[Image], object]] = {
        "float32": picture_of,
        "window": lambda i: Window(window="header").apply(picture[i.digest]),
        "percentiles": lambda i: Percentiles().apply(picture[i.digest]),
        "standardise": lambda i: Standardise().apply(picture[i.digest]),
        "resize": lambda i: grid.resample(picture[i.digest].values),
        "resize by PIL": lambda i: np.asarray(
            Pillow.fromarray(picture[i.digest].values[0]).resize(target, Pillow.Resampling.BILINEAR)
        ),
        "align: find": lambda i: aligner.find(prepared[i.digest].pixels),
        "align: move": lambda i: aligner.move(prepared[i.digest].pixels, None, matrix),
        "facts and thumbnail": lambda i: (acquisition(i), thumbnail(i)),
        "map to file": lambda i: moved[i.digest].placement.to_file_grid(moved[i.digest].pixels[0]),
        "whole, no align": plain.apply,
        "whole, align": whole.apply,
    }
    rates = {name: rate(step, images, options.seconds) for name, step in steps.items()}
    print(f"{options.file_size}² to {options.size}², {options.count} films, one core")
    print(f"{'step':22}{'images/s':>10}{'ms':>9}{'share of whole, align':>24}")
    for name, value in rates.items():
        print(f"{name:22}{value:10.0f}{1e3 / value:9.2f}{rates['whole, align'] / value:24.3f}")
    print(f"fit of align on {options.count} films: {fitted_in:.2f} s")
    print(f"resize against PIL: {rates['resize'] / rates['resize by PIL']:.2f} times its rate")
    from_disk(images, plain, options.size)


def from_disk(images: list[Image], preprocessing: Preprocessing, size: int) -> None:
    """Decode and store, then read back from the cache, in this process."""
    with tempfile.TemporaryDirectory() as folder:
        cache = Cache(Path(folder, "cache"))
        references = []
        for image in images:
            path = Path(folder, f"{image.digest}.png")
            Pillow.fromarray(np.asarray(image.pixels[0])).save(path)
            references.append(str(path))
        times = {}
        start = time.perf_counter()
        read = [read_image(reference) for reference in references]
        times["decode PNG"] = time.perf_counter() - start
        ready = [preprocessing.apply(image) for image in read]
        start = time.perf_counter()
        for reference, prepared in zip(references, ready, strict=True):
            cache.store(reference, preprocessing.digest, prepared, fingerprint_of(reference))
        times["cache: store, synced"] = time.perf_counter() - start
        start = time.perf_counter()
        found = prepare_set(references, preprocessing, cache=cache, workers=0)
        times["cache: open"] = time.perf_counter() - start
        start = time.perf_counter()
        for first in range(0, len(found), 16):
            found.batch(range(first, min(first + 16, len(found))))
        times["cache: batches of 16"] = time.perf_counter() - start
        for name, seconds in times.items():
            print(f"{name:22}{len(images) / seconds:10.0f}{1e3 * seconds / len(images):9.2f}")
        print(f"cache: {cache.size() / len(images) / (4 * size * size):.2f} of the float32 pixels' bytes")


if __name__ == "__main__":
    main()
