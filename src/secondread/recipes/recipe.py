"""A recipe: one YAML file that says everything about a fit. No torch here.

Whoever reads a recipe file gets its mistakes as `UserError`, one line each: the file, the setting's
dotted name, what was written, and what is allowed.
"""

from __future__ import annotations

import math
import operator
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from secondread.calibration.calibration_settings import CalibrationSettings
from secondread.cohorts.cohort_settings import CohortSettings
from secondread.detectors.detector_settings import StageSettings
from secondread.errors import UserError
from secondread.postprocessing.map_settings import MapSettings
from secondread.preprocessing.preprocessing_settings import PreprocessingSettings
from secondread.recipes.unknown_names import no_such_file, no_such_preset
from secondread.settings.arguments import checked
from secondread.settings.base import Settings
from secondread.settings.mistakes import LONGEST, mistakes
from secondread.strict.limits import check
from secondread.strict.plain_file import Unfit, read_text
from secondread.strict.yaml_text import RECIPE, parse_yaml
from secondread.tiling.window_settings import WindowSettings
from secondread.wording.one_text import refuse_one_text
from secondread.wording.short import shortened
from secondread.wording.sizes import times


class About(Settings):
    """What a reader should know before choosing a recipe.

    state        `paper` (the paper's values, differences listed), `stable`, or `baseline`
    needs        cohorts without which it cannot be fitted: what its detector says, for lists without torch
    ranks        2 and/or 3: images, volumes; empty = that of its size
    differences  from the paper, one sentence each
    """

    title: str
    paper: str = ""
    state: Literal["paper", "stable", "baseline", "experimental"] = "experimental"
    needs: tuple[str, ...] = ("normal",)
    ranks: tuple[Literal[2, 3], ...] | None = None
    differences: tuple[str, ...] = ()


class Recipe(Settings):
    """Everything about a fit.

    window    the detector sees patches of the images in training and tiles of them at scoring; empty = images
    detector  its `name`, and its own settings beside it; the detector checks them when it is built
    stages    training settings by the name of the detector's stage
    maps      what is done with the detector's maps before anything is calibrated on them

    >>> import secondread
    >>> recipe = secondread.Recipe.load("padim", set=["preprocessing.size=[128,128]"])
    >>> recipe.detector["name"], recipe.preprocessing.size
    ('padim', (128, 128))
    """

    about: About = About(title="a recipe")
    seed: Annotated[int, Field(ge=0, le=2**63 - 1)] = 0
    cohorts: CohortSettings = CohortSettings()
    preprocessing: PreprocessingSettings
    window: WindowSettings | None = None
    detector: dict[str, Any]
    stages: dict[str, StageSettings] = Field(default_factory=dict)
    maps: MapSettings = MapSettings()
    calibration: CalibrationSettings = CalibrationSettings()
    precision: Literal["auto", "float32", "bf16"] = "auto"

    def __repr__(self) -> str:
        size = times(self.preprocessing.size)
        title, detector = (shortened(text, 60) for text in (self.about.title, self.detector["name"]))
        return f"<Recipe {title!r}: {detector} on {size}, seed {self.seed}>"

    __str__ = __repr__

    @field_validator("detector")
    @classmethod
    def _has_a_name(cls, detector: dict[str, Any]) -> dict[str, Any]:
        if not isinstance(detector.get("name"), str):
            raise ValueError("needs a name, such as name: aeflow")
        return detector

    @model_validator(mode="after")
    def _has_an_edge_to_erode(self) -> Self:
        preprocessing = self.preprocessing
        filled = preprocessing.fit in ("stretch", "crop") and preprocessing.align is None
        if self.maps.erode and preprocessing.foreground == "none" and filled:
            raise ValueError(
                f"maps.erode: {self.maps.erode} takes pixels off the foreground's edge, and there is no "
                "foreground; set preprocessing.foreground, such as {above: 0.05}"
            )
        return self

    @property
    def processed_maps(self) -> MapSettings | None:
        """What is done with maps; None where they stay as the detector gives them."""
        changed = self.maps != MapSettings() or self.preprocessing.foreground != "none"
        return self.maps if changed else None

    @model_validator(mode="after")
    def _window_fits(self) -> Self:
        if self.window is not None:
            self.window.refuse_misfit(self.preprocessing.size)
        return self

    @property
    def detector_size(self) -> tuple[int, ...]:
        """Of the images as the detector sees them: the window's, else the prepared images'."""
        return self.preprocessing.size if self.window is None else self.window.size

    @classmethod
    @checked
    def load(cls, name_or_path: str | Path, set: Sequence[str] = ()) -> Self:
        """A preset by its name, or a YAML file by its path, with `KEY=VALUE` settings put over it, such as
        `detector.beta=0.5` or `stages.flow.optimiser.lr=1e-3` (values are YAML). A relative
        `cohorts.auxiliary` is taken from the file's folder, and one of `set` from the current folder."""
        source, text = _text_of(name_or_path)
        values = _placed(_mapping_of(text, source), Path(name_or_path).parent)
        return cls.from_mapping(_placed(with_assignments(values, set), Path()), source=source)

    @classmethod
    def of(cls, given: Self | Mapping[str, Any] | str | Path) -> Self:
        """A recipe as it is, of a mapping with its sections (`from_mapping`), or by name or path (`load`).
        UserError for anything else."""
        if isinstance(given, cls):
            return given
        if not isinstance(given, Mapping | str | os.PathLike):
            raise UserError(
                f"{type(given).__name__}: is no recipe; give a preset's name, a YAML file, a mapping with "
                "its sections or a Recipe"
            )
        return cls.from_mapping(given) if isinstance(given, Mapping) else cls.load(given)

    def with_seed(self, seed: int) -> Self:
        """The recipe with another seed: any whole number from 0 to 2^63 - 1, NumPy's own among them. Raises
        UserError for anything else."""
        try:
            whole = -1 if isinstance(seed, bool) else operator.index(seed)
        except TypeError:
            whole = -1
        if not 0 <= whole < 2**63:
            raise UserError(f"seed {seed!r}: give a whole number from 0 to 2^63 - 1")
        return self.model_copy(update={"seed": whole})

    @classmethod
    def from_mapping(
        cls, values: Mapping[str, Any], *, source: str = "recipe", set: Sequence[str] = ()
    ) -> Self:
        try:
            assigned = with_assignments(values, set)
            check(assigned, RECIPE)
            return cls.model_validate(assigned)
        except Unfit as error:
            raise UserError(f"{source}: the recipe {error}") from None
        except ValidationError as error:
            raise UserError("\n".join(mistakes(error, cls, source))) from None

    def to_yaml(self) -> str:
        """The whole recipe, defaults included; `load` of it gives an equal recipe."""
        import yaml  # few write a recipe

        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=100)


@dataclass(frozen=True)
class Preset:
    """A recipe that ships with the package.

    ranks  of the images that it is for
    """

    name: str
    about: About
    ranks: tuple[int, ...]


def presets() -> list[Preset]:
    """The recipes that ship with the package, by name.

    >>> import secondread
    >>> [preset.name for preset in secondread.presets() if preset.name.startswith("aeflow-c")]
    ['aeflow-conv']
    """
    return [_preset(name) for name in sorted(_preset_files())]


def preset_values(detector: str) -> Iterator[dict[str, Any]]:
    """The sections of each preset of this detector, as they are written."""
    for file in _preset_files().values():
        text = _text(file)
        if f"name: {detector}" in text:
            values = parse_yaml(text)
            if values["detector"]["name"] == detector:
                yield values


@cache
def _preset_files() -> Mapping[str, Traversable]:
    """By name. They ship with the package, so that a process looks for them once."""
    families = resources.files("secondread.recipes").joinpath("presets").iterdir()
    return {file.name.removesuffix(".yaml"): file for family in families for file in family.iterdir()}


@cache
def _preset(name: str) -> Preset:
    values = parse_yaml(_text(_preset_files()[name]))
    about = About.model_validate(values["about"])
    return Preset(name, about, about.ranks or (len(values["preprocessing"]["size"]),))


def _text(file: Traversable) -> str:
    return file.read_text(encoding="utf-8")


def _text_of(name_or_path: str | Path) -> tuple[str, str]:
    """Where a recipe comes from, for messages, and its text."""
    path = Path(name_or_path)
    if isinstance(name_or_path, str) and path.suffix not in (".yaml", ".yml") and len(path.parts) == 1:
        known = _preset_files()
        if name_or_path in known:
            return f"preset {name_or_path}", _text(known[name_or_path])
        if not path.is_file():
            raise UserError(no_such_preset(name_or_path, known))
    try:
        return str(path), read_text(path, RECIPE.length)
    except Unfit as error:
        raise UserError(f"{path}: {error}; a recipe is YAML") from None
    except FileNotFoundError:
        raise UserError(no_such_file(path, _preset_files())) from None
    except OSError as error:
        raise UserError(f"{path}: the recipe cannot be read ({error.strerror})") from None


def _mapping_of(text: str, source: str) -> dict[str, Any]:
    try:
        values = parse_yaml(text)
    except Unfit as error:
        raise UserError(f"{source}, {error}") from None
    if not isinstance(values, dict):
        raise UserError(f"{source}: a recipe is a mapping with sections such as preprocessing and detector")
    return values


def _placed(values: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The values with the place of the auxiliary images made absolute."""
    cohorts = values.get("cohorts")
    if not isinstance(cohorts, Mapping):
        return values
    auxiliary = cohorts.get("auxiliary")
    if not isinstance(auxiliary, str) or not auxiliary or auxiliary.startswith("~"):
        return values
    return {**values, "cohorts": {**cohorts, "auxiliary": os.path.abspath(folder / auxiliary)}}


def with_assignments(values: Mapping[str, Any], assignments: Sequence[str]) -> dict[str, Any]:
    """The values with each `KEY=VALUE` put over them, such as `flow.blocks=4`. UserError for other words."""
    refuse_one_text(assignments, "set")
    changed: dict[str, Any] = dict(values)
    for assignment in assignments:
        key, value = _parse_assignment(assignment)
        changed = _with(changed, key.split("."), value, assignment)
    return changed


def _parse_assignment(assignment: str) -> tuple[str, Any]:
    key, equals, text = assignment.partition("=")
    if not equals or not all(key.split(".")):
        raise UserError(f"--set {_short(assignment)}: write KEY=VALUE, such as detector.beta=0.5")
    if key.count(".") >= RECIPE.depth:
        raise UserError(f"--set {_short(assignment)}: {key[:80]!r} leads deeper than a recipe goes")
    try:
        value = parse_yaml(text)
    except Unfit as error:
        raise UserError(
            f"--set {_short(assignment)}: the value is not YAML that is taken ({error})"
        ) from None
    return key.strip(), _number(value)


def _number(value: Any) -> Any:
    """YAML 1.1 reads 1e-3 as text; a person means a number."""
    if not isinstance(value, str) or len(value) > RECIPE.digits:
        return value
    try:
        number = float(value)
    except ValueError:
        return value
    return number if math.isfinite(number) else value


def _short(assignment: str) -> str:
    return repr(assignment if len(assignment) <= LONGEST else assignment[: LONGEST - 3] + "...")


def _with(values: Any, keys: Sequence[str], value: Any, assignment: str) -> Any:
    """A copy of nested mappings and lists with one value replaced."""
    if not keys:
        return value
    first, rest = keys[0], keys[1:]
    if isinstance(values, list | tuple):
        if not (first.isascii() and first.isdigit() and len(first) < 7 and int(first) < len(values)):
            raise UserError(
                f"--set {_short(assignment)}: {first[:80]!r} is not an index from 0 to {len(values) - 1}"
            )
        at = int(first)
        return [*values[:at], _with(values[at], rest, value, assignment), *values[at + 1 :]]
    if values is not None and not isinstance(values, Mapping):
        raise UserError(
            f"--set {_short(assignment)}: the recipe has the value {repr(values)[:80]} there, "
            f"and no {first[:80]!r} in it"
        )
    inner = values or {}
    return {**inner, first: _with(inner.get(first), rest, value, assignment)}
