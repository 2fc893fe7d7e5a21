"""What a paper's tables are: one YAML file per paper in `papers`. No torch here."""

from __future__ import annotations

from functools import cache
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from secondread.comparison.writing.published import METRICS, published
from secondread.errors import UserError
from secondread.settings.base import Settings
from secondread.settings.mistakes import mistakes
from secondread.strict.plain_file import Unfit, read_text
from secondread.strict.yaml_text import parse_yaml
from secondread.wording.lists import few

Metric = Literal["auroc", "average_precision", "f1", "accuracy", "sensitivity", "specificity"]
LONGEST_FILE = 1 << 20
_Text = Annotated[str, Field(min_length=1)]
_Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]*$", max_length=60)]


class Figure(Settings):
    """A published figure, for one row.

    system    as `published_numbers` calls the row, where the figure stands there; its protocol holds `under`
    value     the figure itself, where it stands nowhere else
    finding   of the abnormal test images those with this finding alone: a word of it, in small letters
    where     in which table or figure, and how it was read
    """

    metric: Metric = "auroc"
    system: str = ""
    under: str = ""
    value: Annotated[float, Field(ge=0, le=1)] | None = None
    finding: str = ""
    where: str = ""

    @model_validator(mode="after")
    def _stands_somewhere(self) -> Self:
        if bool(self.system) == (self.value is not None):
            raise ValueError("give system, for a figure of published_numbers, or value and where")
        if self.value is not None and not self.where:
            raise ValueError("value needs where it was read")
        return self


class Row(Settings):
    """A row of the table: a recipe under a name, with settings of its own, and what was published of it.

    drop  stages of the recipe that its detector has not with these settings
    """

    name: _Name
    recipe: _Text
    settings: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    published: tuple[Figure, ...] = ()


class Reduced(Settings):
    """The same at a declared smaller size.

    recipes   by row, in place of the row's
    settings  KEY=VALUE for all rows
    rows      KEY=VALUE by row, in place of the row's own
    values    of the curve
    """

    recipes: dict[str, str] = Field(default_factory=dict)
    settings: tuple[str, ...] = ()
    rows: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    values: tuple[float, ...] = ()


class Curve(Settings):
    """Every row once for each value of a setting; `all` as well with `whole`."""

    setting: _Text
    values: Annotated[tuple[float, ...], Field(min_length=1)]
    whole: bool = False
    axis: _Text


class PaperTable(Settings):
    """One table or figure of a paper.

    key       the name of its folder
    settings  KEY=VALUE for all rows
    pool      KEY=VALUE for all rows where images lie in an unlabelled pool, by data set: how many of them the
              published repartition takes
    unseen    rows are made for the two most frequent findings of the training rows: see `planned_tables`
    """

    key: Annotated[str, Field(pattern=r"^[a-z0-9-]+$")]
    title: _Text
    protocol: _Text
    rows: Annotated[tuple[Row, ...], Field(min_length=1)]
    settings: tuple[str, ...] = ()
    pool: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    metrics: tuple[Metric, ...] = ("auroc",)
    curve: Curve | None = None
    unseen: bool = False
    reduced: Reduced = Reduced()


class Paper(Settings):
    """A paper whose tables are run again.

    datasets  keys of `published_numbers` and of `secondread dataset`; the first is meant unless one is named
    seeds     fits of each row; the papers' number where it is known
    reduced   what `--reduced` means, in a sentence
    """

    name: _Name
    title: _Text
    source: _Text
    about: _Text
    datasets: tuple[str, ...] = ()
    seeds: Annotated[int, Field(ge=1, le=100)] = 1
    reduced: _Text
    tables: Annotated[tuple[PaperTable, ...], Field(min_length=1)]

    @field_validator("tables")
    @classmethod
    def _each_once(cls, tables: tuple[PaperTable, ...]) -> tuple[PaperTable, ...]:
        if len({table.key for table in tables}) < len(tables):
            raise ValueError("two tables have one key")
        return tables


def papers() -> dict[str, Paper]:
    """All papers by name, sorted.

    >>> sorted(papers())[:2]
    ['ae-flow', 'ddad']
    """
    return dict(_papers())


def paper_called(name: str) -> Paper:
    """A paper by its name, or from a YAML file of your own. UserError for another name or file."""
    path = Path(name)
    if path.suffix in (".yaml", ".yml"):
        try:
            return _read(read_text(path, LONGEST_FILE), path.stem, str(path))
        except (Unfit, OSError) as error:
            raise UserError(f"{path}: the paper cannot be read ({error})") from None
    known = papers()
    if name not in known:
        raise UserError(
            f"no paper is called {name!r}; there are {few(list(known), 20)}, and YAML files of your own"
        )
    return known[name]


def published_value(figure: Figure, dataset: str) -> tuple[float, str] | None:
    """The published value and where it stands; None where it is on another data set."""
    if figure.value is not None:
        return figure.value, figure.where
    if figure.metric not in METRICS:
        return None
    for row in published(dataset) if dataset else ():
        if row.system == figure.system and row.metric == figure.metric and figure.under in row.protocol:
            return row.value, f"{row.source}; {row.protocol}"
    return None


@cache
def _papers() -> tuple[tuple[str, Paper], ...]:
    folder = resources.files("secondread.reproduction").joinpath("papers")
    files = sorted((file for file in folder.iterdir() if file.name.endswith(".yaml")), key=lambda f: f.name)
    stems = [file.name.removesuffix(".yaml") for file in files]
    return tuple(
        (stem, _read(file.read_text(encoding="utf-8"), stem, file.name))
        for stem, file in zip(stems, files, strict=True)
    )


def _read(text: str, name: str, source: str) -> Paper:
    try:
        values = parse_yaml(text)
    except Unfit as error:
        raise UserError(f"{source}, {error}") from None
    if not isinstance(values, dict):
        raise UserError(f"{source}: a paper is a mapping with title, source, about, reduced and tables")
    try:
        return Paper.model_validate({**values, "name": name})
    except ValidationError as error:
        raise UserError("\n".join(mistakes(error, Paper, source))) from None
