"""Files to prepared images, one call after the other, in worker processes that stay."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod

from secondread.images.image import ImageError
from secondread.images.limits import ReadLimits
from secondread.images.workers.kept_workers import KeptWorkers
from secondread.preprocessing.prepare import MORE_BYTES, USUAL_LIMITS, PrepareOne, outcome_of
from secondread.preprocessing.prepared import Prepared
from secondread.preprocessing.preprocessing import Preprocessing


class KeptPreparing:
    """`prepare_many` without a cache, by workers that stay until `close`: what they give is the same."""

    def __init__(
        self,
        preprocessing: Preprocessing,
        *,
        workers: int = 1,
        timeout_s: float = 60.0,
        limits: ReadLimits = USUAL_LIMITS,
    ) -> None:
        self.preprocessing, self.limits = preprocessing, limits
        settings = preprocessing.settings
        self._workers = KeptWorkers(
            PrepareOne(preprocessing, preprocessing.digest, None, None, limits),
            workers=workers,
            timeout_s=timeout_s,
            most_bytes=5 * settings.channels * prod(settings.size) + MORE_BYTES,
        )

    def __call__(self, references: Sequence[str]) -> Iterator[Prepared | ImageError]:
        results = self._workers.map(references)
        for reference, result in zip(references, results, strict=True):
            yield outcome_of(result, reference, None, self.preprocessing, self.limits)

    def close(self) -> None:
        self._workers.close()
