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

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from secondread.calibration.raw_scores import RawScores, concatenate
from secondread.detectors.contract import Batch, Detector, Scores, ScoringNoise
from secondread.scoring.device import (
    Precision,
    Repeatable,
    autocast,
    choose_precision,
    memory_format,
    place,
)
from secondread.scoring.image_source import ImageSource

ELEMENTS_PER_BATCH = 1 << 19
Score = Callable[[Batch, ScoringNoise], Scores]


def default_batch_size(size: Sequence[int]) -> int:
    """As many images as hold about half a million elements: 8 of 256×256, one volume of 128³. With more, an
    encoder's maps on a CPU outgrow what the allocator keeps, and every batch pays for fresh memory."""
    return max(1, min(64, ELEMENTS_PER_BATCH // math.prod(size)))


def noise_for(digests: Sequence[str], device: torch.device | str = "cpu") -> ScoringNoise:
    """One stream of draws per image, seeded with the first 8 bytes of its digest (hexadecimal)."""
    generators = [torch.Generator().manual_seed(int(digest[:16], 16)) for digest in digests]
    return ScoringNoise(generators, device)


def score_batch(
    detector: Detector,
    images: npt.NDArray[np.float32],
    valid: npt.NDArray[np.bool_] | None,
    digests: Sequence[str],
    *,
    device: torch.device | str = "cpu",
    precision: str = "auto",
    maps: bool = True,
) -> RawScores:
    """The detector's raw parts (float64 `[n]`) and, with `maps`, its maps (float32 `[n, *spatial]`).

    images `[n, C, *spatial]`, valid `[n, 1, *spatial]` or None. The detector is moved to the device and
    put in eval mode. `precision`: auto, float32 or bf16; what comes out is float32 in either case.
    Which images come together changes nothing (see above).
    """
    device = torch.device(device)
    detector.eval()
    place(detector, device)
    batch = Batch(
        torch.from_numpy(np.ascontiguousarray(images, dtype=np.float32)),
        None if valid is None else torch.from_numpy(np.ascontiguousarray(valid)),
    )
    chosen = choose_precision(precision, device)
    without_gradient = torch.no_grad() if detector.gradients_at_scoring else torch.inference_mode()
    with without_gradient:
        return score_images(detector.score, batch, digests, device=device, precision=chosen, maps=maps)


def score_images(
    score: Score,
    batch: Batch,
    digests: Sequence[str],
    *,
    device: torch.device,
    precision: Precision,
    maps: bool,
) -> RawScores:
    """What `score` says of the images of the batch, in their order, each as if it were alone."""
    found = []
    for row, digest in enumerate(digests):
        alone = Batch(_own(batch.images, row, device), _padding(batch.valid, row, device))
        with Repeatable(device), autocast(device, precision):
            found.append(raw_scores(score(alone, noise_for([digest], device)), maps=maps))
    return concatenate(found)


def raw_scores(scores: Scores, *, maps: bool = True) -> RawScores:
    """What a detector said of a batch, as arrays: its parts in float64, its maps in float32."""
    found = {
        name: tensor.detach().float().cpu()[:, 0].numpy() for name, tensor in scores.maps.items() if maps
    }
    return RawScores(
        parts={
            name: part.values.detach().float().cpu().numpy().astype(np.float64)
            for name, part in scores.parts.items()
        },
        tails={name: part.tail for name, part in scores.parts.items()},
        maps=found or None,
    )


def score_set(
    detector: Detector,
    source: ImageSource,
    *,
    batch_size: int = 16,
    device: torch.device | str = "cpu",
    precision: str = "auto",
    maps: bool = True,
) -> Iterator[RawScores]:
    """`score_batch` over a set in its order, one result per batch; the next is read meanwhile."""
    chunks = [range(at, min(at + batch_size, len(source))) for at in range(0, len(source), batch_size)]
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(source.batch, chunks[0]) if chunks else None
        for number, rows in enumerate(chunks):
            assert waiting is not None
            images, valid = waiting.result()
            if number + 1 < len(chunks):
                waiting = pool.submit(source.batch, chunks[number + 1])
            digests = [source.digests[row] for row in rows]
            yield score_batch(detector, images, valid, digests, device=device, precision=precision, maps=maps)


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
