"""A fit, from the outside: what was asked for is looked at first, and only then is anything imported that
computes (`whole_fit`).

Only cohorts reach anything that learns: a test row is never read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from secondread.cohorts.arrays.manifest_of_arrays import manifest_of_arrays
from secondread.cohorts.manifest import Manifest, ManifestLike
from secondread.errors import UserError
from secondread.fitting.checks.first_look import Look, first_look
from secondread.fitting.checks.problem import refuse
from secondread.images.workers.cores import available_cores
from secondread.outputs.folders import output_bundle
from secondread.outputs.temporary import TemporaryFolder
from secondread.preprocessing.cache.cache import Cache
from secondread.recipes.outside_code import allow_code_of
from secondread.recipes.recipe import Recipe
from secondread.scoring.processes import process_count, process_rank
from secondread.settings.arguments import checked
from secondread.terminal.interruption import Interrupted
from secondread.terminal.say import say
from secondread.tracking.logger_names import refuse_loggers

if TYPE_CHECKING:
    from lightning_fabric.loggers import Logger
    from numpy.typing import NDArray
    from torch import Tensor

    from secondread.bundles.bundle import Bundle

    Pixels: TypeAlias = NDArray[Any] | Tensor


@checked
def fit(
    recipe: Recipe | Mapping[str, Any] | str | Path,
    data: ManifestLike | Pixels | Sequence[Pixels],
    out: str | Path | None = None,
    *,
    labels: Iterable[Any] | None = None,
    patients: Iterable[Any] | None = None,
    spacing: Sequence[float] | None = None,
    force: bool = False,
    resume: bool = True,
    cache: str | Path | Cache | None = None,
    device: str | None = "auto",
    workers: int | None = None,
    processes: int | None = None,
    seed: int | None = None,
    allow_shared_patients: bool = False,
    progress: bool = True,
    source: str = "recipe",
    loggers: Sequence[str | Logger] = (),
) -> Bundle:
    """Fit a recipe on a manifest, or on arrays, and save the bundle to `out`.

    recipe   a recipe, a mapping with its sections, a preset's name or a YAML file
    data     a manifest (object, file or DataFrame); or arrays or tensors, `[n, *spatial]` or
             `[n, C, *spatial]`, or a list of single images, whose axes are told by the recipe's size: see
             `manifest_of_arrays`, which writes them into a temporary folder for the fit
    out      the folder of the bundle; without it the fit is made in a temporary folder, which is removed, and
             the bundle stays in memory until its `save` is called
    labels, patients, spacing   of arrays, as `manifest_of_arrays` has them; without labels every array is
             taken for normal
    force    replace what is at `out`, a bundle or an unfinished fit of other settings. Without it a fit that
             was stopped is continued by the same call, and a finished one is loaded
    resume   makes no difference any more: kept so that earlier scripts run
    cache    folder of prepared images; none = `default_cache_directory()`
    workers  processes that decode and, where it pays, draw synthetic anomalies ahead of the training steps;
             none = one per core, 0 = this process
    processes  that train networks which do not build on one another (the networks of an ensemble, say) at the
             same time, where that pays; none = one for each core, and 1 on a GPU. The numbers are the same
    seed     in place of the recipe's
    source   what messages call the recipe, where it is given as an object
    loggers  of `csv`, `tensorboard` and `mlflow`, which write into `OUT.logs`, or loggers of Lightning Fabric

    While it trains, `OUT.partial/training.html` shows its curves and loads itself again.

    Raises UserError for inputs that a person must change (patients in train and test among them), with a line
    for each, and before any image is prepared where that can be known; DataError where a cohort cannot be
    read; `terminal.interruption.Interrupted` on Ctrl-C. A fit that fails before its first checkpoint leaves
    nothing.

    >>> import secondread
    >>> manifest = secondread.make_phantoms("phantoms", seed=0, n_normal=40, n_abnormal=5)
    >>> bundle = secondread.fit("spectrum", manifest, "bundle", workers=0, progress=False)
    >>> sorted(path.name for path in bundle.path.iterdir())[:2]
    ['README.md', 'bundle.json']
    >>> import numpy as np
    >>> films = np.random.default_rng(0).normal(size=(40, 64, 64))
    >>> secondread.fit("spectrum", films, workers=0, progress=False).path is None
    True
    """
    if isinstance(recipe, str | Path):
        source = str(recipe)
    recipe = Recipe.of(recipe)
    refuse_loggers(loggers)
    manifest = _manifest_of(data, recipe, labels, patients, spacing)
    if manifest is not data:
        for note in manifest.notes:
            say(f"note: {note}", shown=progress and process_rank() == 0)
    if out is None:
        if named := [name for name in loggers if isinstance(name, str)]:
            raise UserError(f"the logger {named[0]} writes beside the bundle; name its folder with out")
        return _in_memory(
            recipe, manifest, cache=cache, device=device, workers=workers, processes=processes, seed=seed,
            allow_shared_patients=allow_shared_patients, progress=progress, source=source, loggers=loggers,
        )  # fmt: skip
    if cache is None and manifest.kept is not None:
        cache = manifest.kept.path / "cache"
    recipe = recipe if seed is None else recipe.with_seed(seed)
    allow_code_of(recipe)
    out = Path(out)
    progress = progress and process_rank() == 0
    workers = max(1, available_cores() // process_count()) if workers is None else workers
    look = Look(device, cache, workers, allow_shared_patients, force)
    refuse(first_look(recipe, manifest, look, out=out, source=source))

    from secondread.fitting.whole_fit import WholeFit
    from secondread.scoring.own_modes import own_modes

    with own_modes(), output_bundle(out) if process_rank() == 0 else nullcontext():
        return WholeFit(recipe, manifest, out, look, workers, progress, source, loggers, processes).made()


def _manifest_of(
    data: ManifestLike | Pixels | Sequence[Pixels],
    recipe: Recipe,
    labels: Iterable[Any] | None,
    patients: Iterable[Any] | None,
    spacing: Sequence[float] | None,
) -> Manifest:
    """The manifest that was given, or one of the arrays that were. UserError for what goes with arrays alone
    beside a manifest."""
    if isinstance(data, Manifest | str | Path) or hasattr(data, "iterrows"):
        told = {"labels": labels, "patients": patients, "spacing": spacing}
        if beside := [name for name, value in told.items() if value is not None]:
            raise UserError(
                f"{' and '.join(beside)}: go with arrays; a manifest has columns, and files say theirs"
            )
        return Manifest.of(data)
    settings = recipe.preprocessing
    return manifest_of_arrays(
        data, labels, rank=len(settings.size), files=settings.named_files, patients=patients, spacing=spacing
    )


def _in_memory(recipe: Recipe, manifest: Manifest, **how: Any) -> Bundle:
    """A bundle that lies nowhere, of a fit in a temporary folder."""
    folder = TemporaryFolder()
    try:
        fitted = fit(recipe, manifest, folder.path / "bundle", **how)
    except Interrupted:
        raise Interrupted("interrupted; a fit without a folder (out) keeps nothing to go on with") from None
    return replace(fitted, path=None)
