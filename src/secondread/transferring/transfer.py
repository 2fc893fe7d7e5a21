"""Fit at one site, test at another: one recipe, two sets of rows, and what changes between them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from secondread.bundles.bundle import Bundle
from secondread.cohorts.manifest import Manifest, ManifestLike
from secondread.errors import UserError
from secondread.evaluation.estimates import Resampling
from secondread.evaluation.evaluate import evaluate
from secondread.evaluation.evaluation import Evaluation
from secondread.fitting.calibrate import calibrate
from secondread.fitting.fit import fit
from secondread.outputs.whole import write_whole
from secondread.preprocessing.cache.place import open_cache
from secondread.readings.score_into import score_into
from secondread.recipes.recipe import Recipe
from secondread.settings.arguments import checked
from secondread.terminal.counting import counting
from secondread.transferring.shift import Shift, measure_shift
from secondread.transferring.sites import choose_sites

ASKED, FOUND = "asked.json", "transfer.json"


@checked
def transfer(
    recipe: Recipe | Mapping[str, Any] | str | Path,
    manifest: ManifestLike,
    out: str | Path,
    *,
    train: Sequence[str],
    test: Sequence[str],
    held_apart: float = 0.5,
    seed: int = 0,
    bootstrap: int = 2000,
    cache: str | Path | None = None,
    device: str | None = "auto",
    workers: int | None = None,
    progress: bool = True,
) -> Shift:
    """Fit a recipe on the rows that meet `train`, and judge its bundle on those that meet `test` too.

    Into the folder `out` go the bundle, the same with a calibration of the other site's own normals
    (`recalibrated`), the readings of both sites, and `transfer.json`. The same call goes on where it stopped.

    train, test  conditions on the manifest's columns, such as `site=A`
    held_apart   share of the other site's normal patients that calibrate there and are not judged, where its
                 rows have no such normals outside split test
    seed         of the fit, of that draw and of the bootstrap

    Raises UserError where the sites share a row or a patient, where one lacks what is needed, and where `out`
    holds another transfer.

    >>> import secondread
    >>> from dataclasses import replace
    >>> path = secondread.make_phantoms("phantoms", seed=0, n_normal=120, n_abnormal=20)
    >>> films = secondread.Manifest.read(path)
    >>> rows = [replace(row, extra={"site": "AB"[int(row.patient_id[-1]) % 2]}) for row in films.rows]
    >>> films, sites = replace(films, rows=tuple(rows)), {"train": ["site=A"], "test": ["site=B"]}
    >>> quick = {"workers": 0, "bootstrap": 50, "progress": False}
    >>> shift = secondread.transfer("spectrum", films, "moved", **sites, **quick)
    >>> 0 <= shift.document()["away"]["auroc"]["value"] <= 1
    True
    """
    how = Resampling(bootstrap, seed)
    chosen = recipe if isinstance(recipe, Recipe) else _loaded(recipe)
    rows = Manifest.of(manifest)
    sites = choose_sites(rows, train, test, held_apart=held_apart, seed=seed)
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    _refuse_another(
        folder,
        {
            "recipe": chosen.model_dump(mode="json"),
            "manifest": rows.digest,
            "train": list(train),
            "test": list(test),
            "held_apart": held_apart,
            "seed": seed,
        },
    )
    bundle = fit(
        chosen, sites.home, folder / "bundle",
        resume=True, cache=cache, device=device, workers=workers, seed=seed, progress=progress,
    )  # fmt: skip
    renewed = calibrate(
        bundle, sites.away, folder / "recalibrated", cache=cache, workers=workers, progress=progress
    )

    def judged(what: str, model: Bundle, images: Manifest) -> Evaluation:
        with counting(f"scoring {what}", shown=progress) as note:
            summary = score_into(
                model, images, folder / "readings" / what,
                where=("split=test",), cache=None if cache is None else open_cache(cache), workers=workers,
                progress=note,
            )  # fmt: skip
        return evaluate(summary.readings, images, bootstrap=bootstrap, seed=seed, workers=workers)

    shift = measure_shift(
        sites.names,
        judged("home", bundle, sites.home),
        judged("away", bundle, sites.away),
        judged("away-recalibrated", renewed, sites.away),
        (bundle, renewed),
        how,
    )
    write_whole(folder / FOUND, json.dumps(shift.document(), indent=1, allow_nan=False).encode())
    return shift


def _loaded(recipe: Mapping[str, Any] | str | Path) -> Recipe:
    if isinstance(recipe, Mapping):
        return Recipe.from_mapping(dict(recipe), source="recipe")
    return Recipe.load(recipe)


def _refuse_another(folder: Path, asked: Mapping[str, Any]) -> None:
    """Raises UserError where the folder holds a transfer that was asked for with something else."""
    file = folder / ASKED
    if not file.is_file():
        write_whole(file, json.dumps(asked, indent=1).encode())
        return
    earlier = json.loads(file.read_text(encoding="utf-8"))
    now = json.loads(json.dumps(asked))
    if changed := [name for name in now if earlier.get(name) != now[name]]:
        raise UserError(
            f"{folder}: holds a transfer that was begun with another {', '.join(changed)}; remove it, or "
            "choose another folder with -o"
        )
