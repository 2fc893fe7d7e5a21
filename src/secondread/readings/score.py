"""From a bundle and images, wherever they are, to readings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from secondread.bundles.fitted_model import FittedModel
from secondread.cohorts.manifest import Manifest
from secondread.errors import UserError
from secondread.exporting.load import load_model
from secondread.images.image import ImageError
from secondread.images.in_memory import single_arrays
from secondread.readings.apart.judges import judging
from secondread.readings.folder_state import hashed_patient, record_of
from secondread.readings.inputs import Inputs, Source, gather
from secondread.readings.pipeline import Result, batches, default_workers, read_batch, read_items
from secondread.readings.reading import Reading, as_text
from secondread.readings.readings import Readings
from secondread.readings.score_into import score_into
from secondread.readings.streamed.item import Item
from secondread.readings.studies import StudyReading, read_studies
from secondread.scoring.batch_size import default_batch_size
from secondread.settings.arguments import checked
from secondread.terminal.counting import counting

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from pandas import DataFrame
    from torch import Tensor

    from secondread.preprocessing.cache.cache import Cache

    Pixels: TypeAlias = NDArray[Any] | Tensor


@checked
def score(
    bundle: FittedModel | str | Path,
    inputs: Source | DataFrame | Pixels | Sequence[Source] | Sequence[Pixels],
    out: str | Path | None = None,
    *,
    maps: bool = False,
    where: Sequence[str] = (),
    spacing: Sequence[float] | None = None,
    workers: int | None = None,
    batch_size: int | None = None,
    resume: bool = True,
    cache: str | Path | Cache | None = None,
    key: str | Path | None = None,
    every: int = 1,
    folders_as_sequences: bool = False,
    timeout_s: float = 60.0,
    processes: int = 1,
    progress: Callable[[int, int], None] | bool | None = None,
) -> Readings:
    """Readings of images, in their order: how abnormal each looks, its p-value, whether it is flagged.

    bundle     a bundle or an exported bundle, or its folder
    inputs     a manifest (object, file or DataFrame), a folder, an archive, a file or several of these; or
               arrays or tensors in the values that a file would have: one of `[n, *spatial]` or
               `[n, C, *spatial]`, or a list of single images of any sizes
    out        a folder to write the readings into, row by row; what an earlier run left there is kept (see
               `readings.score_into`). Without it everything stays in memory
    maps       also heat maps, each on its image's own grid: files in `out`, and without it arrays in
               `Readings.maps`
    where      conditions on a manifest's columns, such as `split=test`
    spacing    millimetres along each axis of arrays, where the recipe resamples
    cache      folder of prepared images, or a cache; none = prepare anew
    workers    processes that decode; None = half of the cores, 0 = this one
    resume, key, every, folders_as_sequences, timeout_s, processes   as `readings.score_into` has them

    progress   called with how many are done and how many there are; True shows a bar

    A file or array that cannot be read is a reading with an `error`. Raises UserError where inputs and
    arguments do not go together, where there is nothing to read, and as `readings.score_into` does.

    >>> import secondread
    >>> manifest = secondread.make_phantoms("phantoms", seed=0, n_normal=50, n_abnormal=10)
    >>> bundle = secondread.fit("spectrum", manifest, "bundle", workers=0, progress=False)
    >>> readings = secondread.score(bundle, manifest, where=["split=test"], workers=0)
    >>> len(readings.rows)
    20
    >>> image = secondread.read_image("phantoms/train/normal/00000-pa.png")
    >>> again = secondread.score(bundle, [image.pixels])
    >>> again.rows[0].seen
    'normal'
    >>> again.to_pandas().shape[0]
    1
    """
    bundle = bundle if isinstance(bundle, FittedModel) else load_model(bundle)
    inputs = _given_once(inputs)
    cache = _opened(cache)
    if isinstance(progress, bool):
        with counting("scoring", shown=progress) as counted:
            return score(
                bundle, inputs, out,
                maps=maps, where=where, spacing=spacing, workers=workers, batch_size=batch_size,
                resume=resume, cache=cache, key=key, every=every, folders_as_sequences=folders_as_sequences,
                timeout_s=timeout_s, processes=processes, progress=counted,
            )  # fmt: skip
    if maps and out is None and bundle.calibration.maps is None:
        raise UserError(f"the detector {bundle.recipe.detector['name']} gives no maps; leave out maps=True")
    arrays = arrays_of(inputs, bundle)
    if arrays is not None:
        if out is not None or where or key is not None:
            raise UserError(
                "arrays are scored in memory: out, where and key are for files and manifests; write the "
                "arrays to files to keep readings of them in a folder"
            )
        items = [Item(str(number), str(number)) for number in range(len(arrays))]
        if not items:
            raise UserError("nothing to score; give at least one array")
        results = read_arrays(bundle, items, arrays, spacing, batch_size, maps=maps)
        return in_memory(bundle, Inputs(tuple(items)), told(results, len(items), progress), maps=maps)
    if spacing is not None:
        raise UserError("spacing is for arrays; a file says its own")
    given: Any = Manifest.of(inputs) if hasattr(inputs, "iterrows") else inputs
    workers = default_workers() if workers is None else workers
    if out is not None:
        score_into(
            bundle, given, out,
            maps=maps, where=where, workers=workers, batch_size=batch_size, resume=resume, cache=cache,
            key=key, every=every, folders_as_sequences=folders_as_sequences, timeout_s=timeout_s,
            processes=processes, progress=progress,
        )  # fmt: skip
        return Readings.read(out)
    found = gather(
        given, where=where, workers=workers, key=key,
        rank=bundle.rank, every=every, folders_as_sequences=folders_as_sequences,
    )  # fmt: skip
    with judging(bundle, processes) as judges:
        results = read_items(
            bundle, found.items, maps=maps, workers=workers, batch_size=batch_size, cache=cache,
            timeout_s=timeout_s, judges=judges,
        )  # fmt: skip
        return in_memory(bundle, found, told(results, len(found.items), progress), maps=maps)


def _opened(cache: str | Path | Cache | None) -> Cache | None:
    if isinstance(cache, str | Path):
        from secondread.preprocessing.cache.cache import Cache

        return Cache(cache)
    return cache


def _given_once(inputs: Any) -> Any:
    """Inputs that can be gone through again: a generator as a list, and so are texts or paths in a pandas
    Series or an array, which are files and no pixels."""
    if isinstance(inputs, Iterator):
        return list(inputs)
    if getattr(inputs, "ndim", None) == 1 and not hasattr(inputs, "detach"):
        given = list(inputs)
        if all(isinstance(one, str | Path) for one in given):
            return [one if isinstance(one, Path) else str(one) for one in given]
    return inputs


def arrays_of(inputs: Any, bundle: FittedModel) -> list[Any] | None:
    """The single arrays that inputs are; None where they are something else. Raises UserError for one that is
    no stack of images of the bundle's rank."""
    if isinstance(inputs, str | Path | Manifest) or hasattr(inputs, "iterrows"):
        return None
    if hasattr(inputs, "__array__") or hasattr(inputs, "detach"):
        settings = bundle.recipe.preprocessing
        try:
            return single_arrays(inputs, len(settings.size), settings.named_files)
        except ImageError as error:
            raise UserError(str(error)) from error
    given = list(inputs)
    pixels = [not isinstance(one, str | Path | Manifest) for one in given]
    if any(pixels) and not all(pixels):
        raise UserError("arrays and files cannot be scored in one call; give either")
    return given if any(pixels) else None


def read_arrays(
    bundle: FittedModel,
    items: Sequence[Item],
    arrays: Iterable[Any],
    spacing: Sequence[float] | None,
    batch_size: int | None,
    *,
    maps: bool = False,
) -> Iterator[Result]:
    """A result for each array, in order."""

    def prepared() -> Iterator[tuple[Item, Any]]:
        for item, array in zip(items, arrays, strict=True):
            try:
                yield item, bundle.prepare([array], spacing=spacing)[0]
            except ImageError as error:
                yield item, error

    seen = bundle.seen.recall()
    for gathered in batches(prepared(), batch_size or default_batch_size(bundle.recipe.preprocessing.size)):
        yield from read_batch(bundle, gathered, seen, maps=maps)


def told(
    results: Iterable[Result], count: int, progress: Callable[[int, int], None] | None
) -> Iterator[Result]:
    """The results, each of which is counted."""
    for number, result in enumerate(results, start=1):
        yield result
        if progress is not None:
            progress(number, count)


def in_memory(
    bundle: FittedModel, inputs: Inputs, results: Iterable[Result], *, maps: bool = False
) -> Readings:
    """What a folder of readings would hold of these results."""
    kept: list[Result] = []
    heat: dict[str, NDArray[np.float32]] = {}
    for result in results:
        if result.map is not None and result.placement is not None:
            heat[result.reading.path] = result.placement.to_file_grid(result.map)
        kept.append(replace(result, map=None, picture=None))
    facts = {result.reading.path: result.acquisition for result in kept if not result.reading.error}
    names = sorted({name for told in facts.values() for name in told})
    rows = tuple(result.reading for result in kept)
    patients = {item.path: hashed_patient(item.patient_id, bundle) for item in inputs.items}
    studies = read_studies(rows, bundle.calibration, patients)
    return Readings(
        directory=Path(),
        rows=rows,
        run=record_of(bundle, inputs).model_copy(update={"finished": True}),
        acquisition={path: {name: as_text(told.get(name)) for name in names} for path, told in facts.items()},
        thumbnails={result.reading.path: result.thumbnail for result in kept if result.thumbnail is not None},
        maps=heat if maps else None,
        studies={study.worst_image: as_reading(study) for study in studies if study.worst_image},
    )


def as_reading(study: StudyReading) -> Reading:
    """A study as a reading, whose path is the study's id."""
    return Reading(study.study_id, score=study.score, p_value=study.p_value, flagged=study.flagged)
