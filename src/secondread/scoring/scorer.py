"""Scores of prepared images: the one place where a detector is asked. No file and no label.

What is promised of a score:

- **On one machine**, with the same versions, device, precision and number of threads, an image's raw parts
  and maps are the same bits whatever the batch, the order, the other images, and whether a run was stopped
  and resumed. A normal of the calibration that is read later gets its calibration score. This holds by
  construction: a detector is given one image at a time, in memory of its own that always lies alike, so that
  nothing but the image and the detector reaches the arithmetic. `benchmarks/machines/one_at_a_time.py` says
  what that costs.
- **On another processor, or with another number of threads**, sums are rounded in another order. In float32
  scores agree within the tolerance of `calibration.conformal`, and p-values and flags are made so that they
  agree, too.
- **In another precision, or on another kind of device**, nothing is promised: bfloat16 keeps eight bits. A
  bundle is read in the precision in which it was calibrated.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from functools import partial
from operator import attrgetter

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from secondread.calibration.calibration_settings import CalibrationSettings
from secondread.calibration.complexity import with_complexity
from secondread.calibration.gathered_scores import GatheredScores
from secondread.calibration.processed_scores import processed
from secondread.calibration.raw_scores import RawScores, concatenate
from secondread.cohorts.row import Row, shared_file
from secondread.detectors.contract import Batch, Detector, Scores, ScoringNoise
from secondread.errors import UserError
from secondread.postprocessing.map_processing import MapProcessing
from secondread.preprocessing.prepared_set import PreparedSet
from secondread.scoring.device import (
    Precision,
    Repeatable,
    autocast,
    choose_precision,
    memory_format,
    parts_of,
    place,
)
from secondread.scoring.image_source import ImageSource
from secondread.scoring.own_modes import own_modes
from secondread.tiling.tile_scores import Score, TileScores
from secondread.tiling.window_settings import WindowSettings

_is_training = attrgetter("training")


def noise_for(digests: Sequence[str], device: torch.device | str = "cpu") -> ScoringNoise:
    """One stream of draws per image, seeded with the first 8 bytes of its digest (hexadecimal)."""
    generators = [torch.Generator().manual_seed(int(digest[:16], 16)) for digest in digests]
    return ScoringNoise(generators, device)


class Scorer:
    """A detector that is asked on one device, in one precision.

    precision  auto, float32 or bf16, and from then on what that is on this device (`choose_precision`)
    window     the detector sees the image's tiles (`tiling.tile_scores`); None = the image
    processing what every map goes through before anyone sees it; None = nothing

    Before each batch the detector is moved to the device and put in eval mode, whatever was done with it
    since the last.
    """

    def __init__(
        self,
        detector: Detector,
        *,
        device: torch.device | str = "cpu",
        precision: str = "auto",
        window: WindowSettings | None = None,
        processing: MapProcessing | None = None,
    ) -> None:
        self.detector = detector
        self.window = window
        self.processing = processing
        self.device = torch.device(device)
        self.precision = choose_precision(precision, self.device)

    def __repr__(self) -> str:
        return f"<Scorer of {type(self.detector).__name__} on {self.device} in {self.precision}>"

    def batch(
        self,
        images: npt.NDArray[np.float32],
        valid: npt.NDArray[np.bool_] | None,
        digests: Sequence[str],
        *,
        maps: bool = True,
    ) -> RawScores:
        """The detector's raw parts (float64 `[n]`) and, with `maps`, its maps (float32 `[n, *spatial]`).

        images `[n, C, *spatial]`, valid `[n, 1, *spatial]` or None. What comes out is float32 in either
        precision. Which images come together changes nothing (see above). Maps are the processed ones; where
        they give a part (`maps.score`), it is there without `maps` too.
        """
        with own_modes(self.device):
            raw = self._raw(images, valid, digests, maps=maps or self._scores_maps)
        if self.processing is not None and raw.maps is not None:
            raw = processed(raw, images, valid, self.processing)
        return raw if maps else raw.without_maps()

    def _raw(
        self,
        images: npt.NDArray[np.float32],
        valid: npt.NDArray[np.bool_] | None,
        digests: Sequence[str],
        *,
        maps: bool,
    ) -> RawScores:
        """`batch` before maps are processed."""
        parts = parts_of(self.detector)
        if any(map(_is_training, parts)):
            self.detector.eval()
        place(self.detector, self.device, parts)
        batch = Batch(
            torch.from_numpy(np.ascontiguousarray(images, dtype=np.float32)),
            None if valid is None else torch.from_numpy(np.ascontiguousarray(valid)),
        )
        quietly = torch.no_grad() if self.detector.gradients_at_scoring else torch.inference_mode()
        with quietly:
            score: Score = partial(self.detector.score, maps=maps)
            if self.window is not None:
                score = TileScores(score, self.window)
            return score_images(score, batch, digests, device=self.device, precision=self.precision)

    @property
    def _scores_maps(self) -> bool:
        return self.processing is not None and self.processing.scores

    def with_processing(self, processing: MapProcessing) -> Scorer:
        """The same, whose maps go through that."""
        same = copy(self)
        same.processing = processing
        return same

    def set(self, source: ImageSource, *, batch_size: int = 16, maps: bool = True) -> Iterator[RawScores]:
        """`batch` over a set in its order, one result per batch; the next is read meanwhile."""
        for rows, images, valid in read_ahead(source, batch_size):
            yield self.batch(images, valid, [source.digests[row] for row in rows], maps=maps)

    def gather(
        self,
        images: PreparedSet,
        rows: Sequence[Row],
        settings: CalibrationSettings,
        *,
        seed: int,
        maps: bool = True,
    ) -> GatheredScores:
        """Raw scores of held-out normals for calibration, with their patients and studies, no map kept.

        rows  those that were asked for, of which `images` could be prepared

        Raises UserError where a score is not finite: such a normal cannot be ranked, and leaving it out would
        promise too low a false-alarm rate.
        """
        gathered = GatheredScores(map_sample=settings.map_sample, seed=seed)
        kept = [rows[position] for position in images.positions]
        for chosen, pixels, valid in read_ahead(images, 16):
            raw = self.batch(pixels, valid, [images.digests[i] for i in chosen], maps=maps)
            raw = with_complexity(raw, pixels, settings)
            if not raw.finite.all():
                first = images.references[chosen[int(np.argmin(raw.finite))]]
                raise UserError(
                    f"{first}: this held-out normal has no finite score, so no false-alarm rate can be "
                    "promised; lower the learning rate, or set precision: float32"
                )
            used = [kept[i] for i in chosen]
            gathered.add(
                raw,
                patients=[row.patient_id or shared_file(row.path) or None for row in used],
                studies=[row.study_id or None for row in used],
                valid=valid if self.processing is None else self.processing.area(valid),
            )
        return gathered


def read_ahead(
    source: ImageSource, batch_size: int
) -> Iterator[tuple[range, npt.NDArray[np.float32], npt.NDArray[np.bool_] | None]]:
    """The rows, images and valid pixels of one batch after the other; the next is read in a thread."""
    chunks = [range(at, min(at + batch_size, len(source))) for at in range(0, len(source), batch_size)]
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(source.batch, chunks[0]) if chunks else None
        for number, rows in enumerate(chunks):
            assert waiting is not None
            images, valid = waiting.result()
            if number + 1 < len(chunks):
                waiting = pool.submit(source.batch, chunks[number + 1])
            yield rows, images, valid


def score_images(
    score: Score,
    batch: Batch,
    digests: Sequence[str],
    *,
    device: torch.device,
    precision: Precision,
) -> RawScores:
    """What `score` says of the images of the batch, in their order, each as if it were alone."""
    found = []
    for row, digest in enumerate(digests):
        image, valid = _own(batch.images, row, device), _padding(batch.valid, row, device)
        alone = Batch(image, valid, digests=(digest,))
        with Repeatable(device), autocast(device, precision):
            found.append(raw_scores(score(alone, noise_for([digest], device))))
    return concatenate(found)


def raw_scores(scores: Scores) -> RawScores:
    """What a detector said of a batch, as arrays: its parts in float64, its maps in float32."""
    found = {name: tensor.detach().float().cpu()[:, 0].numpy() for name, tensor in scores.maps.items()}
    return RawScores(
        parts={
            name: part.values.detach().float().cpu().numpy().astype(np.float64)
            for name, part in scores.parts.items()
        },
        tails={name: part.tail for name, part in scores.parts.items()},
        maps=found or None,
    )


def _own(images: Tensor, row: int, device: torch.device) -> Tensor:
    """One image `[1, C, *spatial]` in memory of its own, aligned and ordered alike whatever batch it came in:
    some libraries round differently by where numbers lie."""
    image = images[row : row + 1]
    order = memory_format(images.ndim - 2)
    return torch.empty(image.shape, dtype=image.dtype, device=device, memory_format=order).copy_(image)


def _padding(valid: Tensor | None, row: int, device: torch.device) -> Tensor | None:
    """Where the image is valid; None where it is everywhere, whatever the rest of the batch has."""
    if valid is None or bool(valid[row].all()):
        return None
    return valid[row : row + 1].to(device, copy=True)
