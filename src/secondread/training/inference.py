"""Scores of prepared images: one batch, or a whole set. No file and no label."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
import torch

from secondread.calibration.raw_scores import RawScores
from secondread.detectors.contract import Batch, Detector, Scores, ScoringNoise
from secondread.training.data import ImageSource
from secondread.training.device import Precision, autocast, choose_precision, place, to_device


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
    """
    device = torch.device(device)
    chosen: Precision = choose_precision(precision, device)
    detector.eval()
    place(detector, device)
    batch = Batch(
        to_device(torch.from_numpy(np.ascontiguousarray(images, dtype=np.float32)), device),
        None if valid is None else torch.from_numpy(np.ascontiguousarray(valid)).to(device),
    )
    without_gradient = torch.no_grad() if detector.gradients_at_scoring else torch.inference_mode()
    with without_gradient, autocast(device, chosen):
        scores = detector.score(batch, noise_for(digests, device))
    return raw_scores(scores, maps=maps)


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
