"""What a comparison consists of, written down before anything is fitted. No torch here."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from secondread.cohorts.manifest import Manifest
from secondread.comparison.running.methods import Method, Recipes, methods_of
from secondread.comparison.running.plan_document import (
    FILE,
    changed_methods,
    extended,
    read_document,
    set_aside,
)
from secondread.errors import UserError
from secondread.outputs.folders import refuse_other_folder
from secondread.outputs.whole import write_whole
from secondread.recipes.recipe import Recipe
from secondread.terminal.say import say
from secondread.wording.one_text import refuse_one_text
from secondread.wording.short import Short

SEEDS = range(3)
"""Where nothing else is asked for."""


@dataclass(frozen=True)
class Run:
    """One fit with its readings: a method, a seed, and the share of its normals that are abnormal."""

    method: str
    seed: int
    contamination: float = 0.0

    @property
    def place(self) -> Path:
        """Its folder, below that of the comparison."""
        planted = f"-contaminated-{self.contamination:g}" if self.contamination else ""
        return Path("runs") / self.method / f"seed-{self.seed}{planted}"

    def __str__(self) -> str:
        planted = f", {100 * self.contamination:g} % contaminated" if self.contamination else ""
        return f"{self.method}, seed {self.seed}{planted}"


@dataclass(frozen=True, repr=False)
class Plan(Short):
    """Methods, seeds and what else was settled beforehand.

    manifest       with `where` applied
    reference      the method that all others are tested against
    contamination  shares of the training normals to plant abnormal images into
    """

    manifest: Manifest
    methods: tuple[Method, ...]
    seeds: tuple[int, ...]
    reference: str
    contamination: tuple[float, ...] = ()
    maps: bool = False
    where: tuple[str, ...] = ()

    def runs(self) -> Iterator[Run]:
        """In the order of work: every method once before the next seed, contaminated runs last."""
        for contamination in (0.0, *self.contamination):
            for seed in self.seeds:
                for method in self.methods:
                    if not (contamination and method.trivial):
                        yield Run(method.name, seed, contamination)

    def method(self, name: str) -> Method:
        return next(method for method in self.methods if method.name == name)

    def recipe(self, run: Run) -> Recipe:
        recipe = self.method(run.method).recipe.with_seed(run.seed)
        if not run.contamination:
            return recipe
        cohorts = recipe.cohorts.model_copy(update={"contamination": run.contamination})
        return recipe.model_copy(update={"cohorts": cohorts})

    def begin(self, folder: Path) -> Plan:
        """Write `comparison.json`, and each method's recipe, into the comparison's folder.

        An earlier plan there is extended by methods, seeds and shares of contamination; what comes back is
        all of it. A method that was begun with other settings is begun anew, alone; its finished runs are
        kept aside, and that is said. Raises UserError where the earlier plan is of another manifest, or
        where another reference is named once there are results.
        """
        refuse_other_folder(folder, "compare")
        whole = self.within(folder)
        for name, settings in self.changed(folder).items():
            kept = set_aside(name, folder)
            where = f"; what was finished is kept in {kept}" if kept else ""
            say(f"note: {name} has other settings now ({settings}) and runs again{where}")
        write_whole(folder / FILE, json.dumps(whole._document(), indent=1).encode())
        for method in whole.methods:
            place = folder / "runs" / method.name
            write_whole(place / "recipe.yaml", method.recipe.to_yaml().encode())
        return whole

    def within(self, folder: Path) -> Self:
        """This plan and what the folder holds of an earlier one, as `begin` would write it."""
        document = self._document()
        if (folder / FILE).is_file():
            document = extended(read_document(folder), document, folder)
        return self._of(document, self.manifest)

    def changed(self, folder: Path) -> dict[str, str]:
        """The methods that the folder began with other settings, and which of these differ."""
        if not (folder / FILE).is_file():
            return {}
        return changed_methods(read_document(folder), self._document(), folder)

    @classmethod
    def read(cls, folder: Path, manifest: Manifest | None = None) -> Self:
        """The plan that a comparison's folder holds; UserError where it holds none, or one of other rows.

        manifest  where it lies now, without the plan's filter; none = where it lay
        """
        document = read_document(folder)
        manifest = Manifest.read(document["manifest"]) if manifest is None else manifest
        manifest = manifest.where(*document["where"])
        if manifest.digest != document["manifest_digest"]:
            raise UserError(
                f"{manifest.source or 'manifest'}: is not the manifest of the comparison in {folder}, or has "
                "changed since that was begun; choose a new folder with -o"
            )
        return cls._of(document, manifest)

    @classmethod
    def _of(cls, document: Mapping[str, Any], manifest: Manifest) -> Self:
        return cls(
            manifest,
            tuple(
                Method(
                    name, Recipe.from_mapping(said["recipe"], source=name), said["source"], said["trivial"]
                )
                for name, said in document["methods"].items()
            ),
            tuple(document["seeds"]),
            document["reference"],
            tuple(document["contamination"]),
            document["maps"],
            tuple(document["where"]),
        )

    def _document(self) -> dict[str, Any]:
        return {
            "manifest": str(Path(self.manifest.source).absolute()),
            "manifest_digest": self.manifest.digest,
            "where": list(self.where),
            "reference": self.reference,
            "maps": self.maps,
            "seeds": list(self.seeds),
            "contamination": list(self.contamination),
            "methods": {
                method.name: {
                    "source": method.source,
                    "trivial": method.trivial,
                    "recipe": method.recipe.model_dump(mode="json"),
                }
                for method in self.methods
            },
        }

    @classmethod
    def of(
        cls,
        manifest: Manifest,
        recipes: Recipes,
        *,
        seeds: Sequence[int] | None = None,
        reference: str | None = None,
        settings: Sequence[str] = (),
        contamination: Sequence[float] = (),
        maps: bool | None = None,
        where: Sequence[str] = (),
        earlier: Plan | None = None,
    ) -> Self:
        """Read recipes, add the trivial baselines, and check what can be checked before a fit.

        recipes    presets or YAML files, or NAME=RECIPE to call a row by another name; none are needed where
                   there is an earlier plan
        seeds      none = the earlier plan's, or `SEEDS`
        reference  one of the names; empty = the earlier plan's, or the first
        settings   KEY=VALUE for every method named here, or NAME:KEY=VALUE for one of them
        maps       whether maps are written and judged; None = as earlier, or where test rows have masks
        earlier    the plan that this one goes on with: its filter and trivial baselines hold
        """
        where = where or (earlier.where if earlier else ())
        refuse_one_text(where, "where")
        manifest = manifest.where(*where)
        known = earlier.methods if earlier else ()
        methods = methods_of(recipes, settings, known)
        every = list(dict.fromkeys(method.name for method in (*known, *methods)))
        chosen = reference or (earlier.reference if earlier else methods[0].name)
        if chosen not in every:
            raise UserError(f"--reference {chosen}: not among {', '.join(every)}")
        if seeds is None:
            seeds = earlier.seeds if earlier else SEEDS
        if not len(seeds):
            raise UserError("--seeds: at least one")
        seeds = [methods[0].recipe.with_seed(seed).seed for seed in seeds] if methods else seeds
        for share in contamination:
            if not 0 < share <= 0.5:
                raise UserError(f"--contamination {share:g}: a share above 0 and up to 0.5")
        test = [row for row in manifest.rows if row.split == "test" and row.label]
        if {row.label for row in test} != {"normal", "abnormal"}:
            raise UserError(
                f"{manifest.source or 'manifest'}: a comparison needs normal and abnormal test rows; "
                "`secondread split` makes them"
            )
        if maps is None:
            maps = earlier.maps if earlier else any(row.mask for row in test)
        return cls(manifest, tuple(methods), tuple(seeds), chosen, tuple(contamination), maps, tuple(where))
