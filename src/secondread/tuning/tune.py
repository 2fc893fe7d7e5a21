"""The search: trials drawn by Optuna, each a fit on the development rows and a value without a label."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from secondread.cohorts.manifest import Manifest, ManifestLike
from secondread.errors import DataError, UserError
from secondread.fitting.fit import fit
from secondread.fitting.identity import digest_of
from secondread.outputs.folders import output_folder
from secondread.outputs.whole import remove_folder, write_whole
from secondread.recipes.recipe import Recipe
from secondread.settings.arguments import checked
from secondread.strict.json_text import read_object
from secondread.terminal.say import say
from secondread.tuning.objectives import KINDS, caution, measure, refuse_objective
from secondread.tuning.page import write_page
from secondread.tuning.space import Varied, parsed, setting
from secondread.tuning.trials import Tried, trials_csv
from secondread.wording.extras import install_command

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

PLAN, TRIALS, BEST, TABLE = "tune.json", "trials.log", "best.yaml", "trials.csv"
INSTEAD = "instead"
"""Attribute of a trial: the number of the failed one that it does again."""


@dataclass(frozen=True)
class Tuned:
    """What a search found.

    best    the recipe with the settings of the best trial
    trials  all trials that have ended, in order
    folder  of `best.yaml`, `trials.csv` and `tune.html`
    """

    best: Recipe
    trials: tuple[Tried, ...]
    folder: Path

    def __repr__(self) -> str:
        done = [trial for trial in self.trials if trial.value is not None]
        return f"<Tuned: {len(done)} trials, best {max(trial.value or 0.0 for trial in done):.4g}>"


@checked
def tune(
    recipe: Recipe | Mapping[str, Any] | str | Path,
    manifest: ManifestLike,
    vary: Sequence[str],
    out: str | Path,
    *,
    trials: int = 20,
    objective: str = "synthetic",
    anomalies: Sequence[str] = KINDS,
    seed: int = 0,
    cache: str | Path | None = None,
    device: str | None = "auto",
    workers: int = 1,
    progress: bool = True,
) -> Tuned:
    """Search settings of a recipe on the development rows of a manifest, without labels.

    recipe     as `fit` takes it; all that is not varied stays
    manifest   its rows of split `test` are left out before anything else
    vary       `KEY=LOW..HIGH` or `KEY=A,B,C`; ranges whose ends are a hundredfold apart are drawn in
               logarithms
    trials     in all; the same call with more goes on
    objective  `synthetic`: AUROC of held-out normals against the same with drawn anomalies; `held-out`: their
               loss, where only settings of the training are varied (see `tuning.objectives`)
    anomalies  kinds of drawn anomalies
    seed       of the search; the fits have the recipe's

    Raises UserError for what cannot be varied or compared, and where no trial could be fitted.

    >>> import secondread
    >>> manifest = secondread.make_phantoms("phantoms", seed=0, n_normal=40, n_abnormal=5)
    >>> found = secondread.tune(
    ...     "spectrum", manifest, ["detector.bands=4,16"], "tuned", trials=2, workers=0, progress=False
    ... )
    >>> len(found.trials), found.best.detector["bands"] in (4, 16)
    (2, True)
    """
    recipe, varied, out = Recipe.of(recipe), parsed(vary), Path(out)
    _need_optuna()
    refuse_objective(objective, varied, recipe, anomalies)
    rows = development(Manifest.of(manifest))
    if warned := caution(objective, recipe, anomalies):
        say(f"warning: {warned}", shown=progress)
    for one in varied:
        _refuse_value(recipe, one, [other for other in varied if other is not one])
    with output_folder(out, "tune"):
        _begin(out, recipe, rows, varied, objective, anomalies, seed)
        search = _Search(
            recipe, rows, varied, out, objective, tuple(anomalies), seed, cache, device, workers, progress
        )
        return search.run(trials)


def development(manifest: Manifest) -> Manifest:
    """The rows that are not of the test. UserError where no row names a split, so that nothing tells them."""
    if not any(row.split for row in manifest.rows):
        raise UserError(
            f"{manifest.source or 'manifest'}: no row names a split, so nothing tells which rows are the "
            "test; run `secondread split`"
        )
    return manifest.where("split!=test")


def _need_optuna() -> None:
    try:
        import optuna
    except ImportError:
        raise UserError(f"tune needs Optuna: {install_command('tune')}") from None
    optuna.logging.set_verbosity(logging.ERROR)


def _with_values(recipe: Recipe, values: Mapping[str, Any]) -> Recipe:
    """The recipe with these settings, the detector's own among them checked. UserError for what it does not
    take."""
    from secondread.recipes.build import build_detector

    settings = [setting(key, value) for key, value in values.items()]
    changed = Recipe.from_mapping(recipe.model_dump(mode="json"), source="--vary", set=settings)
    build_detector(changed, pretrained=False, source="--vary")
    return changed


def _refuse_value(recipe: Recipe, one: Varied, others: Sequence[Varied]) -> None:
    """UserError for a value of this setting that the recipe takes with no value of the others."""
    beside: list[dict[str, Any]] = [{}]
    beside += [{other.key: value} for other in others for value in other.samples()]
    for value in one.samples():
        refused: UserError | None = None
        for given in beside:
            try:
                _with_values(recipe, {one.key: value, **given})
                break
            except UserError as error:
                refused = refused or error
        else:
            assert refused is not None
            raise refused


def _begin(
    out: Path,
    recipe: Recipe,
    rows: Manifest,
    varied: Sequence[Varied],
    objective: str,
    anomalies: Sequence[str],
    seed: int,
) -> None:
    """Write down what is searched; UserError where the folder holds another search."""
    plan = {
        "recipe": digest_of(recipe.model_dump(mode="json")),
        "manifest": rows.digest,
        "vary": sorted(one.said() for one in varied),
        "objective": objective,
        "anomalies": list(anomalies) if objective == "synthetic" else [],
        "seed": seed,
    }
    file = out / PLAN
    if file.is_file():
        earlier = read_object(file, UserError, "choose a new folder with -o")
        if other := [name for name, value in plan.items() if earlier.get(name) != value]:
            raise UserError(
                f"{out}: a search with another {other[0]} was begun there; choose a new folder with -o"
            )
    write_whole(file, json.dumps(plan, indent=1).encode())


@dataclass(frozen=True)
class _Search:
    """A search whose folder is held; the fields are those of `tune`."""

    recipe: Recipe
    rows: Manifest
    varied: Sequence[Varied]
    out: Path
    objective: Any
    anomalies: tuple[str, ...]
    seed: int
    cache: str | Path | None
    device: str | None
    workers: int
    progress: bool

    def run(self, trials: int) -> Tuned:
        study = self._study()
        while len(ended := self._ended(study)) < trials:
            self._one(study, ended, trials)
        return self._written(ended)

    def _study(self) -> Study:
        """The study in the folder, with the trial that a stop cut short put first in line again, and after it
        those that failed: what they lacked may be there now."""
        import optuna
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend

        storage = JournalStorage(JournalFileBackend(str(self.out / TRIALS)))
        study = optuna.create_study(
            storage=storage, study_name="tune", direction="maximize", load_if_exists=True
        )
        for trial in study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,)):
            study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
            study.enqueue_trial(trial.params, user_attrs=_instead(trial))
        queued = _replaced(study)
        for trial in study.get_trials(deepcopy=False):
            if trial.user_attrs.get("ended") and trial.value is None and trial.number not in queued:
                study.enqueue_trial(trial.params, user_attrs={INSTEAD: trial.number})
        return study

    def _one(self, study: Study, ended: Sequence[Tried], trials: int) -> None:
        """One more trial. Settings that were tried already have their value: an equal fit gives it again."""
        import optuna

        number = len(ended)
        study.sampler = optuna.samplers.TPESampler(seed=self.seed + number, n_startup_trials=8)
        trial = study.ask()
        values = {one.key: one.drawn(trial) for one in self.varied}
        begun = time.monotonic()
        trial.set_user_attr("values", values)
        same = [one.value for one in ended if dict(one.values) == values and one.value is not None]
        try:
            value: float | None = same[0] if same else self._value(values)
            why = ""
        except (UserError, DataError) as error:
            value, why = None, " ".join(str(error).split())
        trial.set_user_attr("why", why)
        trial.set_user_attr("seconds", round(time.monotonic() - begun, 1))
        trial.set_user_attr("ended", True)
        state = optuna.trial.TrialState.FAIL if value is None else None
        study.tell(trial, value, state=state)
        told = f"{value:.4f}" if value is not None else f"failed: {why}"
        shown = ", ".join(f"{key}={value}" for key, value in values.items())
        say(f"trial {number + 1}/{trials}  {shown}  {told}", shown=self.progress)

    def _value(self, values: Mapping[str, Any]) -> float:
        """Fit and measure. The settings name the fit's folder, so that one that was stopped goes on."""
        recipe = _with_values(self.recipe, values)
        place = self.out / "trials" / digest_of(dict(values))
        bundle = fit(
            recipe,
            self.rows,
            place,
            cache=self.cache,
            device=self.device,
            workers=self.workers,
            progress=False,
        )
        cache = None if self.cache is None else Path(self.cache)
        judge = measure(self.objective, self.anomalies, self.rows, cache=cache, workers=self.workers)
        value = judge(bundle)
        remove_folder(place)
        return value

    @staticmethod
    def _ended(study: Study) -> list[Tried]:
        replaced = _replaced(study)
        trials = [
            one
            for one in study.get_trials(deepcopy=False)
            if one.user_attrs.get("ended") and one.number not in replaced
        ]
        return [
            Tried(
                number, one.user_attrs["values"], one.value, one.user_attrs["seconds"], one.user_attrs["why"]
            )
            for number, one in enumerate(trials)
        ]

    def _written(self, trials: Sequence[Tried]) -> Tuned:
        done = [trial for trial in trials if trial.value is not None]
        write_whole(self.out / TABLE, trials_csv(trials).encode())
        if not done:
            raise UserError(f"{self.out}: no trial could be fitted; the first failed: {trials[0].why}")
        best = max(done, key=lambda trial: trial.value or 0.0)
        recipe = _with_values(self.recipe, best.values)
        write_whole(self.out / BEST, recipe.to_yaml().encode())
        write_page(self.out / "tune.html", trials, best, self.objective, self.varied)
        return Tuned(recipe, tuple(trials), self.out)


def _instead(trial: FrozenTrial) -> dict[str, Any]:
    return {name: value for name, value in trial.user_attrs.items() if name == INSTEAD}


def _replaced(study: Study) -> set[int]:
    """Numbers of failed trials that others stand in line for, or were done, in place of."""
    return {one.user_attrs[INSTEAD] for one in study.get_trials(deepcopy=False) if INSTEAD in one.user_attrs}
