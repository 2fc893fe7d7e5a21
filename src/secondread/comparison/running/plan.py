"""What a comparison consists of, written down before anything is fitted. No torch here."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, ValidationError

from secondread.cohorts.manifest import Manifest
from secondread.detectors.trivial import BASELINES
from secondread.errors import UserError
from secondread.outputs.folders import refuse_other_folder
from secondread.outputs.whole import write_whole
from secondread.recipes.recipe import Recipe
from secondread.settings.base import Settings
from secondread.strict.json_text import read_object
from secondread.wording.lists import few
from secondread.wording.short import Short

FILE = "comparison.json"
LONGEST = 100
"""Bytes in a method's name, which is a folder's name too."""
SEEDS = range(3)
"""Where nothing else is asked for."""


@dataclass(frozen=True, repr=False)
class Method(Short):
    """One row of the table: a recipe under a name.

    trivial  a baseline that was added by itself
    """

    name: str
    recipe: Recipe
    source: str
    trivial: bool = False


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
        recipe = self.method(run.method).recipe.model_copy(update={"seed": run.seed})
        if not run.contamination:
            return recipe
        cohorts = recipe.cohorts.model_copy(update={"contamination": run.contamination})
        return recipe.model_copy(update={"cohorts": cohorts})

    def begin(self, folder: Path) -> Plan:
        """Write `comparison.json`, and each method's recipe, into the comparison's folder.

        An earlier plan there is extended by methods, seeds and shares of contamination; what comes back is
        all of it. Raises UserError where the earlier one is of another manifest or of other settings
        under the same name, or where another reference is named once there are results.
        """
        refuse_other_folder(folder, "compare")
        whole = self.within(folder)
        write_whole(folder / FILE, json.dumps(whole._document(), indent=1).encode())
        for method in whole.methods:
            place = folder / "runs" / method.name
            write_whole(place / "recipe.yaml", method.recipe.to_yaml().encode())
        return whole

    def within(self, folder: Path) -> Self:
        """This plan and what the folder holds of an earlier one, as `begin` would write it."""
        document = self._document()
        if (folder / FILE).is_file():
            document = _extended(_read(folder), document, folder)
        return self._of(document, self.manifest)

    @classmethod
    def read(cls, folder: Path, manifest: Manifest | None = None) -> Self:
        """The plan that a comparison's folder holds; UserError where it holds none, or one of other rows.

        manifest  where it lies now, without the plan's filter; none = where it lay
        """
        document = _read(folder)
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
        recipes: Sequence[str],
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
        manifest = manifest.where(*where)
        given = [_named(item) for item in recipes]
        names = [name for name, _ in given]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise UserError(f"{few(twice)}: named twice; call one row otherwise, as in NAME=RECIPE")
        own: dict[str, list[str]] = {name: [] for name in (*names, *BASELINES)}
        for setting in settings:
            _assign(setting, own)
        methods = [Method(name, Recipe.load(source, set=own[name]), source) for name, source in given]
        for method in methods:
            _refuse_missing_auxiliary(method)
        known = earlier.methods if earlier else ()
        if not methods and not known:
            raise UserError("name at least one recipe with --recipes; `secondread recipes` lists them")
        if settings and not methods:
            raise UserError(f"--set {settings[0]}: holds for recipes that are named beside it with --recipes")
        first = (*known, *methods)[0].recipe
        if len({len(method.recipe.preprocessing.size) for method in (*known, *methods)}) > 1:
            raise UserError("recipes for images and for volumes cannot stand in one table")
        there = {method.name for method in known}
        asked = {setting.partition("=")[0].partition(":")[0] for setting in settings}
        for name in BASELINES:
            if name in names or (name in there and name not in asked):
                continue
            if recipe := _trivial(name, first, own[name]):
                methods.append(Method(name, recipe, name, trivial=True))
        every = list(dict.fromkeys([*there, *(method.name for method in methods)]))
        chosen = reference or (earlier.reference if earlier else methods[0].name)
        if chosen not in every:
            raise UserError(f"--reference {chosen}: not among {', '.join(every)}")
        if seeds is None:
            seeds = earlier.seeds if earlier else SEEDS
        if not seeds:
            raise UserError("--seeds: at least one")
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


def _named(item: str) -> tuple[str, str]:
    name, equals, source = item.partition("=")
    name, source = (
        (name, source) if equals else (Path(item).stem if "/" in item or "." in item else item, item)
    )
    plain = all(c.isalnum() or c in "-_.+" for c in name) and not name.startswith(".")
    if not name or not source or not plain or len(os.fsencode(name)) > LONGEST:
        raise UserError(
            f"--recipes {item}: give a recipe, or NAME=RECIPE with a name of letters, digits, - _ . +, "
            f"at most {LONGEST} bytes long"
        )
    return name, source


def _assign(setting: str, own: Mapping[str, list[str]]) -> None:
    """Hand a setting to the method before its colon, or to all."""
    name, colon, _ = setting.partition("=")[0].partition(":")
    if not colon:
        for every in own.values():
            every.append(setting)
    elif name in own:
        own[name].append(setting[len(name) + 1 :])
    else:
        raise UserError(f"--set {setting}: no method is called {name}; there are {', '.join(own)}")


def _trivial(name: str, like: Recipe, settings: Sequence[str]) -> Recipe | None:
    """The baseline on images prepared as for the first method; None where it does not take their rank.

    Its cohorts are those of the first method too, so that it learns from the same normals, but for auxiliary
    images, from which no baseline learns.
    """
    values = Recipe.load(name).model_dump(mode="json")
    size = like.preprocessing.size
    if len(size) not in values["about"]["ranks"]:
        return None
    values |= {
        "preprocessing": like.preprocessing.model_dump(mode="json"),
        "cohorts": like.cohorts.model_dump(mode="json"),
    }
    recipe = Recipe.from_mapping(values, source=f"preset {name}", set=settings)
    without = recipe.cohorts.model_copy(update={"auxiliary": None})
    return recipe.model_copy(update={"cohorts": without})


def _refuse_missing_auxiliary(method: Method) -> None:
    """A method that needs auxiliary images must name some that are there."""
    place = method.recipe.cohorts.auxiliary
    if place is None and "auxiliary" in method.recipe.about.needs:
        raise UserError(
            f"{method.name} needs auxiliary images; name them with --set {method.name}:cohorts.auxiliary=PATH"
        )
    if place is not None and not Path(place).expanduser().exists():
        raise UserError(f"{method.name}: cohorts.auxiliary: {place}: no such file or folder")


class _Written(Settings):
    source: str
    trivial: bool
    recipe: dict[str, Any]


class _Document(Settings):
    """`comparison.json`, as `Plan._document` makes it."""

    manifest: str
    manifest_digest: str
    where: tuple[str, ...]
    reference: str
    maps: bool
    seeds: tuple[Annotated[int, Field(ge=0, le=2**63 - 1)], ...]
    contamination: tuple[float, ...]
    methods: dict[str, _Written]


def _read(folder: Path) -> dict[str, Any]:
    """What `comparison.json` says; UserError where it is missing or damaged."""
    file = folder / FILE
    if not file.is_file():
        raise UserError(f"{file}: no such file; give the folder of a comparison")
    document = read_object(file, UserError, "choose a new folder with -o")
    try:
        return _Document.model_validate(document).model_dump(mode="json")
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, problem["loc"]))
        raise UserError(
            f"{file}: is no plan of a comparison ({where}: {problem['msg']}); choose a new folder with -o"
        ) from None


def _fitted(recipe: Mapping[str, Any], source: str) -> dict[str, Any]:
    """What of a written recipe bears on a fit, with the defaults of today."""
    return Recipe.from_mapping(recipe, source=source).model_dump(mode="json", exclude={"about"})


def _extended(earlier: dict[str, Any], now: dict[str, Any], folder: Path) -> dict[str, Any]:
    if earlier["manifest_digest"] != now["manifest_digest"]:
        raise UserError(
            f"{folder}: a comparison on another manifest, or on other rows of it; choose a new folder with -o"
        )
    if earlier["reference"] != now["reference"] and any(folder.glob("runs/*/*/result.json")):
        raise UserError(
            f"{folder}: begun with the reference {earlier['reference']}, which is named before there are "
            f"results; give --reference {earlier['reference']}, or another folder"
        )
    if earlier["maps"] != now["maps"]:
        raise UserError(f"{folder}: begun {'with' if earlier['maps'] else 'without'} maps; keep to that")
    for name, method in now["methods"].items():
        before = earlier["methods"].get(name)
        begun = before is not None and (folder / "runs" / name).exists()
        if begun and _fitted(before["recipe"], name) != _fitted(method["recipe"], name):
            raise UserError(
                f"{folder}: {name} was begun with other settings; call this one otherwise, as in "
                f"{name}-2={method['source']}, or remove {folder / 'runs' / name}"
            )
    return {
        **now,
        "seeds": sorted({*earlier["seeds"], *now["seeds"]}),
        "contamination": sorted({*earlier["contamination"], *now["contamination"]}),
        "methods": {**earlier["methods"], **now["methods"]},
    }
