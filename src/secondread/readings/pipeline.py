"""Reading images with a bundle as one stream: decoding and preprocessing in worker processes, the
gathering of batches in a thread, compute here or in processes of its own. The slowest of them sets the
pace."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from secondread.bundles.decisions import Decisions
from secondread.bundles.fitted_model import FittedModel
from secondread.bundles.seen import Recall
from secondread.detectors.trivial import column_of
from secondread.images.image import ImageError
from secondread.images.workers.cores import available_cores
from secondread.preprocessing.placement import Placement
from secondread.preprocessing.prepare import prepare_many
from secondread.preprocessing.prepared import Prepared, stack
from secondread.readings.apart.messages import Asked
from secondread.readings.reading import Reading
from secondread.readings.streamed.item import Item
from secondread.scoring.batch_size import default_batch_size
from secondread.texts import Texts
from secondread.wording.short import Short

if TYPE_CHECKING:
    from secondread.preprocessing.cache.cache import Cache
    from secondread.readings.apart.judges import Judges

AHEAD = 3
Gathered = list[tuple[Item, Prepared | ImageError]]
Prepare = Callable[[Sequence[str]], Iterator[Prepared | ImageError]]
Refuse = Callable[[Item, Prepared], str]


@dataclass(frozen=True, repr=False)
class Result(Short):
    """A reading, and what its files are made of.

    map      float32 `[*size]` on the prepared grid, or None
    picture  float32 `[*size]`, the first channel of the prepared image, kept where there is a map
    """

    reading: Reading
    acquisition: dict[str, float | str] = field(default_factory=dict)
    thumbnail: NDArray[np.float32] | None = None
    map: NDArray[np.float32] | None = None
    picture: NDArray[np.float32] | None = None
    placement: Placement | None = None


def default_workers() -> int:
    """Half of the cores decode, at least one; the others are left to compute."""
    return max(1, available_cores() // 2)


def read_items(
    bundle: FittedModel,
    items: Sequence[Item],
    *,
    maps: bool = False,
    workers: int | None = None,
    batch_size: int | None = None,
    cache: Cache | None = None,
    timeout_s: float = 60.0,
    prepare: Prepare | None = None,
    refuse: Refuse | None = None,
    judges: Judges | None = None,
) -> Iterator[Result]:
    """A result for each item, in order.

    judges   processes that judge prepared images; None = this one
    prepare  prepares references in place of `prepare_many`, such as workers that are kept (`KeptPreparing`);
             workers, cache and timeout_s are its own then
    refuse   looks at each prepared image; where it says why, that is the image's error and nobody scores it
    """
    seen = bundle.seen.recall()
    workers = default_workers() if workers is None else workers
    size = batch_size or default_batch_size(bundle.recipe.preprocessing.size)

    def prepared() -> Iterator[tuple[Item, Prepared | ImageError]]:
        references = Texts(item.reference for item in items if not item.problem)
        stream = (
            prepare(references)
            if prepare is not None
            else prepare_many(
                references, bundle.preprocessing, cache=cache, workers=workers, timeout_s=timeout_s
            )
        )
        for item in items:
            yield item, ImageError(item.path, item.problem) if item.problem else next(stream)

    def looked_at() -> Iterator[Gathered]:
        for gathered in ahead(lambda: batches(prepared(), size), AHEAD):
            if refuse is not None:
                gathered = [(item, _looked_at(item, found, refuse)) for item, found in gathered]
            yield gathered

    if judges is None:
        for gathered in looked_at():
            yield from read_batch(bundle, gathered, seen, maps=maps)
        return
    for gathered, decisions in judges.judged((one, _asked(one, maps=maps)) for one in looked_at()):
        yield from _results(gathered, decisions, seen)


def _looked_at(item: Item, prepared: Prepared | ImageError, refuse: Refuse) -> Prepared | ImageError:
    if isinstance(prepared, ImageError) or not (problem := refuse(item, prepared)):
        return prepared
    return ImageError(item.path, problem)


def batches(stream: Iterator[tuple[Item, Prepared | ImageError]], size: int) -> Iterator[Gathered]:
    """Groups with at most `size` prepared images; failures travel along in their place."""
    group: Gathered = []
    images = 0
    for item, prepared in stream:
        group.append((item, prepared))
        images += isinstance(prepared, Prepared)
        if images == size or len(group) >= 4 * size:
            yield group
            group, images = [], 0
    if group:
        yield group


def ahead(make: Callable[[], Iterator[Gathered]], depth: int) -> Iterator[Gathered]:
    """The same items, produced in a thread that runs at most `depth` of them ahead."""
    waiting: queue.Queue[Gathered | BaseException | None] = queue.Queue(depth)
    stopped = threading.Event()

    def put(value: Gathered | BaseException | None) -> bool:
        while not stopped.is_set():
            try:
                waiting.put(value, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def produce() -> None:
        stream = make()
        try:
            for value in stream:
                if not put(value):
                    break
            else:
                put(None)
        except BaseException as error:
            put(error)
        finally:
            getattr(stream, "close", lambda: None)()

    thread = threading.Thread(target=produce, name="secondread-gather", daemon=True)
    thread.start()
    try:
        while (value := waiting.get()) is not None:
            if isinstance(value, BaseException):
                raise value
            yield value
    finally:
        stopped.set()
        thread.join(timeout=10)


def read_batch(bundle: FittedModel, gathered: Gathered, seen: Recall, *, maps: bool) -> Iterator[Result]:
    """Results of one batch, in its order."""
    asked = _asked(gathered, maps=maps)
    found = None if asked is None else bundle.judge(*asked[:3], maps=maps)
    yield from _results(gathered, found, seen)


def _images(gathered: Gathered) -> list[Prepared]:
    return [prepared for _, prepared in gathered if isinstance(prepared, Prepared)]


def _asked(gathered: Gathered, *, maps: bool) -> Asked | None:
    """What a model is asked of a batch; None where no image of it could be prepared."""
    images = _images(gathered)
    return Asked(*stack(images), [image.digest for image in images], maps) if images else None


def _results(gathered: Gathered, found: Decisions | None, seen: Recall) -> Iterator[Result]:
    scored = iter(() if found is None else _judged(_images(gathered), found, seen))
    for item, prepared in gathered:
        if isinstance(prepared, ImageError):
            problem = f"{prepared.problem}; {prepared.advice}" if prepared.advice else prepared.problem
            yield Result(_named(Reading(path="", error=problem), item))
        else:
            result = next(scored)
            yield replace(result, reading=_named(result.reading, item))


def _named(reading: Reading, item: Item) -> Reading:
    return replace(reading, path=item.path, study_id=item.study_id, frame=item.frame, time_s=item.time_s)


def _judged(images: Sequence[Prepared], found: Decisions, seen: Recall) -> Iterator[Result]:
    for i, image in enumerate(images):
        finite, judged = bool(found.finite[i]), not np.isnan(found.p_values[i])
        plain = found.without_complexity
        reading = Reading(
            path="",
            digest=image.digest,
            score=float(found.scores[i]) if finite else None,
            p_value=float(found.p_values[i]) if judged else None,
            flagged=bool(found.flags[i]) if judged and found.flags is not None else None,
            parts={name: float(values[i]) for name, values in found.parts.items()},
            baselines={
                column_of(name): float(values[i])
                for name, values in found.baselines.items()
                if np.isfinite(values[i])
            },
            score_without_complexity=None if plain is None or not finite else float(plain[i]),
            seen=seen.cohorts(image.digest, image.content),
            error="" if finite else "the detector's score is not a finite number",
            remarks=image.placement.remarks,
        )
        heat = found.maps[i] if found.maps is not None and finite else None
        yield Result(
            reading,
            dict(image.acquisition),
            image.thumbnail,
            heat,
            None if heat is None else image.pixels[0],
            image.placement,
        )
