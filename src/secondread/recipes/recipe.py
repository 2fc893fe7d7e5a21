"""A recipe: one YAML file that says everything about a fit. No torch here.

Whoever reads a recipe file gets its mistakes as `UserError`, one line each: the file, the setting's
dotted name, what was written, and what is allowed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import Field, ValidationError, field_validator

from secondread.calibration.settings import CalibrationSettings
from secondread.cohorts.settings import CohortSettings
from secondread.detectors.settings import StageSettings
from secondread.errors import UserError
from secondread.preprocessing.settings import PreprocessingSettings
from secondread.recipes.mistakes import mistakes
from secondread.settings import Settings


class About(Settings):
    """What a reader should know before choosing a recipe.

    state        `paper` (the paper's values, differences listed), `stable`, or `baseline`
    needs        cohorts without which it cannot be fitted
    ranks        2 and/or 3: images, volumes
    differences  from the paper, one sentence each
    """

    title: str
    paper: str = ""
    state: Literal["paper", "stable", "baseline", "experimental"] = "experimental"
    needs: tuple[str, ...] = ("normal",)
    ranks: tuple[Literal[2, 3], ...] = (2,)
    differences: tuple[str, ...] = ()


class Recipe(Settings):
    """Everything about a fit.

    detector  its `name`, and its own settings beside it; the detector checks them when it is built
    stages    training settings by the name of the detector's stage
    """

    about: About = About(title="a recipe")
    seed: Annotated[int, Field(ge=0)] = 0
    cohorts: CohortSettings = CohortSettings()
    preprocessing: PreprocessingSettings
    detector: dict[str, Any]
    stages: dict[str, StageSettings] = Field(default_factory=dict)
    calibration: CalibrationSettings = CalibrationSettings()
    precision: Literal["auto", "float32", "bf16"] = "auto"

    @field_validator("detector")
    @classmethod
    def _has_a_name(cls, detector: dict[str, Any]) -> dict[str, Any]:
        if not isinstance(detector.get("name"), str):
            raise ValueError("needs a name, such as name: aeflow")
        return detector

    @classmethod
    def load(cls, name_or_path: str | Path, set: Sequence[str] = ()) -> Self:
        """A preset by its name, or a YAML file by its path, with `KEY=VALUE` settings put over it, such as
        `detector.beta=0.5` or `stages.flow.optimiser.lr=1e-3` (values are YAML)."""
        source, text = _text_of(name_or_path)
        return cls.from_mapping(_mapping_of(text, source), source=source, set=set)

    @classmethod
    def from_mapping(
        cls, values: Mapping[str, Any], *, source: str = "recipe", set: Sequence[str] = ()
    ) -> Self:
        try:
            return cls.model_validate(with_assignments(values, set))
        except ValidationError as error:
            raise UserError("\n".join(mistakes(error, cls, source))) from None

    def to_yaml(self) -> str:
        """The whole recipe, defaults included; `load` of it gives an equal recipe."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=100)


@dataclass(frozen=True)
class Preset:
    name: str
    about: About


def presets() -> list[Preset]:
    """The recipes that ship with the package, by name."""
    found = []
    for name, text in sorted(_preset_texts()):
        found.append(Preset(name, About.model_validate(yaml.safe_load(text)["about"])))
    return found


def _preset_texts() -> Iterable[tuple[str, str]]:
    for file in resources.files("secondread.recipes").iterdir():
        if file.name.endswith(".yaml"):
            yield file.name.removesuffix(".yaml"), file.read_text(encoding="utf-8")


def _text_of(name_or_path: str | Path) -> tuple[str, str]:
    """Where a recipe comes from, for messages, and its text."""
    path = Path(name_or_path)
    if isinstance(name_or_path, str) and path.suffix not in (".yaml", ".yml") and len(path.parts) == 1:
        known = dict(_preset_texts())
        if name_or_path in known:
            return f"preset {name_or_path}", known[name_or_path]
        if not path.is_file():
            near = get_close_matches(name_or_path, known, n=1, cutoff=0.4)
            hint = f"did you mean {near[0]}? " if near else ""
            raise UserError(
                f"no preset is called {name_or_path!r}; {hint}"
                f"presets are {', '.join(sorted(known))}; a recipe of your own is given as its .yaml file"
            )
    try:
        return str(path), path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise UserError(f"{path}: is not a text file; a recipe is YAML") from None
    except OSError as error:
        raise UserError(f"{path}: the recipe cannot be read ({error.strerror})") from None


def _mapping_of(text: str, source: str) -> dict[str, Any]:
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise UserError(f"{source}{where}: is not YAML ({getattr(error, 'problem', error)})") from None
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise UserError(f"{source}: a recipe is a mapping with sections such as preprocessing and detector")
    return values


def with_assignments(values: Mapping[str, Any], assignments: Sequence[str]) -> dict[str, Any]:
    """The values with each `KEY=VALUE` put over them, such as `flow.blocks=4`. UserError for other words."""
    changed: dict[str, Any] = dict(values)
    for assignment in assignments:
        key, value = _parse_assignment(assignment)
        changed = _with(changed, key.split("."), value, assignment)
    return changed


def _parse_assignment(assignment: str) -> tuple[str, Any]:
    key, equals, text = assignment.partition("=")
    if not equals or not all(key.split(".")):
        raise UserError(f"--set {assignment!r}: write KEY=VALUE, such as detector.beta=0.5")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        raise UserError(f"--set {assignment!r}: the value is not YAML") from None
    return key.strip(), _number(value)


def _number(value: Any) -> Any:
    """YAML 1.1 reads 1e-3 as text; a person means a number."""
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value


def _with(values: Any, keys: Sequence[str], value: Any, assignment: str) -> Any:
    """A copy of nested mappings and lists with one value replaced."""
    if not keys:
        return value
    first, rest = keys[0], keys[1:]
    if isinstance(values, list | tuple):
        if not (first.isdigit() and int(first) < len(values)):
            raise UserError(f"--set {assignment!r}: {first!r} is not an index from 0 to {len(values) - 1}")
        at = int(first)
        return [*values[:at], _with(values[at], rest, value, assignment), *values[at + 1 :]]
    if values is not None and not isinstance(values, Mapping):
        raise UserError(
            f"--set {assignment!r}: the recipe has the value {values!r} there, and no {first!r} in it"
        )
    inner = values or {}
    return {**inner, first: _with(inner.get(first), rest, value, assignment)}
