"""From a bundle to fictional images: files, the table of nearest training images, and a record."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image as Picture
from torch import Tensor

from secondread.bundles.bundle import Bundle
from secondread.detectors import DETECTORS, find
from secondread.detectors.contract import Generative
from secondread.errors import DataError, UserError
from secondread.images.image import Geometry, ImageError
from secondread.images.write import write_map
from secondread.outputs.folders import RECORD, output_folder
from secondread.outputs.run_record import RunRecord
from secondread.outputs.whole import write_whole
from secondread.preprocessing.prepare import prepare_many
from secondread.preprocessing.prepared import Prepared
from secondread.previews.fictional_images import (
    QUANTILES,
    SHOWN,
    Interpolation,
    Sample,
    Sampling,
    closest,
    summary,
    table,
)
from secondread.previews.planes import Planes, bounded, eight_bits, planes
from secondread.previews.training_images import TrainingImages, from_bundle
from secondread.scoring.batch_size import default_batch_size
from secondread.settings.arguments import checked
from secondread.training.seeds import seeded_generator
from secondread.wording.sizes import times

TOGETHER = 8
STEPS = 8


def generative(bundle: Bundle) -> Generative:
    """The bundle's detector, where it draws images. Raises UserError that names the detectors that do."""
    if bundle.recipe.window is not None:
        raise UserError(
            f"{bundle.path}: its detector sees patches of {times(bundle.recipe.window.size)} through a "
            "window, and images are drawn whole; fit the recipe without its window section to draw some"
        )
    if isinstance(bundle.detector, Generative):
        return bundle.detector
    able = [name for name in DETECTORS if issubclass(find(name), Generative)]
    known = f"detectors that do: {', '.join(able)}" if able else "no detector of this version does"
    raise UserError(
        f"{bundle.path}: its detector {bundle.recipe.detector['name']!r} draws no images; {known}"
    )


@checked
def sample(
    bundle: Bundle,
    out: str | Path,
    training: TrainingImages | None = None,
    *,
    n: int = 16,
    temperatures: Sequence[float] = (0.7,),
    seed: int = 0,
    between: tuple[str, str] | None = None,
    workers: int = 1,
    command: Sequence[str] = (),
    progress: Callable[[int, int], None] | None = None,
) -> Sampling:
    """Draw `n` fictional images per temperature into the folder `out`, with `samples.csv` and `run.json`.

    training  see `training_images`; none = what the bundle has of the images that it learned from
    between   two files: also reconstructions along the line between their latents, in `interpolation/`

    An image depends on bundle, seed, temperature and its number alone, so running again, with more images
    or other temperatures, adds to what is there. Pictures are PNG (8 bits), volumes NIfTI (preprocessed
    values). An image that is not finite is a row with an error.

    Raises UserError where the detector draws no images, or `out` holds images of another bundle or seed;
    ImageError for a file of `between` that cannot be read; DataError where no image is finite.

    >>> import secondread
    >>> manifest = secondread.make_phantoms("phantoms", seed=0, n_normal=40, n_abnormal=5)
    >>> small = ["preprocessing.size=[32,32]", "detector.flow.depth=2", "stages.normal.epochs=1"]
    >>> recipe = secondread.Recipe.load("glow-likelihood", set=small)
    >>> bundle = secondread.fit(recipe, manifest, "bundle", workers=0, progress=False)
    >>> len(secondread.sample(bundle, "fictional", n=2).samples)
    2
    """
    out = Path(out)
    training = from_bundle(bundle) if training is None else training
    detector = generative(bundle)
    with output_folder(out, "sample"):
        refuse_other_samples(out, bundle, seed)
        scale = (0.0, 1.0) if bounded(bundle.recipe.preprocessing) else from_bundle(bundle).value_range
        run = _Run(
            bundle, detector, out, training, scale, n, tuple(dict.fromkeys(temperatures)), seed, between,
            RunRecord("sample", command), progress,
        )  # fmt: skip
        return run.do(workers)


@dataclass(frozen=True)
class _Run:
    """One run into a folder that is held for it.

    detector  the bundle's, which draws
    scale     values that pictures show as black and white
    """

    bundle: Bundle
    detector: Generative
    out: Path
    training: TrainingImages
    scale: tuple[float, float]
    n: int
    temperatures: tuple[float, ...]
    seed: int
    between: tuple[str, str] | None
    record: RunRecord
    progress: Callable[[int, int], None] | None

    def do(self, workers: int) -> Sampling:
        """The images and their tables."""
        ends = None if self.between is None else prepared_pair(self.bundle, self.between, workers)
        self.bundle.detector.eval()
        self.record.write(self.out / RECORD, **self.facts(), finished=False)
        samples, pictures = self.drawn()
        line = None if self.between is None or ends is None else self.interpolated(self.between, ends)
        training = self.training
        quantiles = {q: float(np.quantile(training.among, q)) for q in QUANTILES if len(training.among)}
        found = Sampling(
            self.bundle, self.seed, tuple(samples), training, quantiles, pictures, self.scale, line
        )
        write_whole(self.out / "samples.csv", table(found).encode())
        told = summary(found)
        self.record.write(self.out / RECORD, finished=True, samples=told, training_distances=quantiles)
        if found.failed == len(samples):
            raise DataError(
                f"{self.bundle.path}: none of {len(samples)} images is finite; lower --temperature"
            )
        return found

    def drawn(self) -> tuple[list[Sample], dict[str, Planes]]:
        """All images, written, and the pictures of those that the page shows."""
        together = min(TOGETHER, default_batch_size(self.bundle.detector.size))
        samples: list[Sample] = []
        pictures: dict[str, Planes] = {}
        for temperature in self.temperatures:
            for start in range(0, self.n, together):
                generator = seeded_generator(self.seed, "sample", start)
                images = self.draw(together, generator, temperature)[: self.n - start]
                for one, values in measured(images, self.training, temperature, start):
                    samples.append(one)
                    if one.file:
                        self.write_image(one.file, values)
                        pictures[one.file] = planes(values, self.scale)
                wanted = {s.file for s in samples if s.number < SHOWN} | {s.file for s in closest(samples)}
                pictures = {file: picture for file, picture in pictures.items() if file in wanted}
                if self.progress is not None:
                    self.progress(len(samples), self.n * len(self.temperatures))
        return samples, pictures

    def draw(self, count: int, generator: torch.Generator, temperature: float) -> Tensor:
        """Images float32 `[count, C, *size]` on the CPU. The count is the same for every draw of a bundle, so
        that the first images do not depend on how many are asked for."""
        with torch.inference_mode():
            images = self.detector.sample(count, generator, temperature=temperature)
        wanted = (count, self.bundle.detector.channels, *self.bundle.detector.size)
        if tuple(images.shape) != wanted:
            raise ValueError(f"the detector drew {tuple(images.shape)} where {wanted} was asked for")
        return images.float().cpu()

    def interpolated(self, names: tuple[str, str], ends: tuple[Prepared, Prepared]) -> Interpolation:
        """Write the reconstructions along the line between two images' latents.

        Raises DataError where one of them is not finite.
        """
        first, second = (torch.from_numpy(np.array(end.pixels)).to(self.bundle.device) for end in ends)
        with torch.inference_mode():
            along = self.detector.interpolate(first, second, STEPS).float().cpu()
        if not along.isfinite().all():
            raise DataError(f"{names[0]}, {names[1]}: reconstructions between them are not finite")
        steps = list(along.numpy())
        ending = "png" if along.ndim == 4 else "nii.gz"
        for number, values in enumerate(steps):
            self.write_image(f"interpolation/{number}.{ending}", values)
        shown = tuple(planes(values, self.scale) for values in (ends[0].pixels, *steps, ends[1].pixels))
        return Interpolation(names, shown)

    def write_image(self, file: str, values: NDArray[np.float32]) -> None:
        """A picture as PNG of 8 bits; a volume as NIfTI, of its channels' mean, with the recipe's spacing."""
        if file.endswith(".png"):
            written = io.BytesIO()
            Picture.fromarray(eight_bits(values, self.scale)).save(written, "PNG")
            write_whole(self.out / file, written.getvalue())
            return
        settings = self.bundle.recipe.preprocessing
        placed = settings.resample is not None and settings.fit == "place"
        spacing = settings.resample.resample.spacing if placed and settings.resample else None
        write_map(self.out / file.removesuffix(".nii.gz"), values.mean(axis=0), Geometry(spacing=spacing))

    def facts(self) -> dict[str, Any]:
        """What a later reader must know about the run."""
        bundle, training = self.bundle, self.training
        return {
            "seed": self.seed,
            "bundle": str(bundle.path.absolute()) if bundle.path else None,
            "digests": {"bundle": bundle.digest, "manifest": training.manifest_digest},
            "device": bundle.device,
            "n": self.n,
            "temperatures": list(self.temperatures),
            "training": {
                "images": len(training),
                "source": training.source,
                "thumbnail": list(training.shape),
            },
            "scale": list(self.scale),
            "recipe": bundle.recipe.model_dump(mode="json"),
            "research_use": "research use, not a medical device",
        }


def measured(
    images: Tensor, training: TrainingImages, temperature: float, start: int
) -> list[tuple[Sample, NDArray[np.float32]]]:
    """Each image of `[k, C, *size]`, numbered from `start`, as a sample with its values."""
    finite = images.flatten(1).isfinite().all(dim=1)
    distances, nearest = training.nearest_to(images.nan_to_num(0.0, 0.0, 0.0))
    among = np.sort(training.among)
    found = []
    for place in range(len(images)):
        number = start + place
        if finite[place]:
            distance = float(distances[place])
            share = np.searchsorted(among, distance, side="right") / len(among) if len(among) else None
            ending = "png" if images.ndim == 4 else "nii.gz"
            drawn = Sample(
                f"samples/t{temperature:g}-{number:04d}.{ending}", temperature, number, distance,
                int(nearest[place]), None if share is None else float(share),
            )  # fmt: skip
        else:
            drawn = Sample("", temperature, number, error="its values are not finite")
        found.append((drawn, images[place].numpy()))
    return found


def prepared_pair(bundle: Bundle, files: tuple[str, str], workers: int) -> tuple[Prepared, Prepared]:
    """Two files on the prepared grid. Raises ImageError for one that cannot be read."""
    found = list(prepare_many(list(files), bundle.preprocessing, workers=workers))
    for prepared in found:
        if isinstance(prepared, ImageError):
            raise prepared
    first, second = (prepared for prepared in found if isinstance(prepared, Prepared))
    return first, second


def refuse_other_samples(out: Path, bundle: Bundle, seed: int) -> None:
    """Raises UserError where `out` holds images of another bundle or seed."""
    if not (out / "samples").is_dir():
        return
    try:
        run = json.loads((out / RECORD).read_text(encoding="utf-8"))
        earlier = (run["digests"]["bundle"], run["seed"])
    except (OSError, ValueError, KeyError, TypeError):
        earlier = None
    if earlier != (bundle.digest, seed):
        raise UserError(f"{out}: holds images of another bundle or seed; choose another folder with -o")
