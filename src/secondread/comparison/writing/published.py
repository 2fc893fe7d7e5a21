"""Numbers of papers, to read beside measured ones, each with its protocol and source. No torch here.

They are kept apart from measured rows: one name of a data set stands for several splits, sizes and ways of
choosing an epoch or a threshold, so that two numbers compare only where their protocols agree.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from importlib import resources
from typing import Annotated, Literal, Self, get_args

from pydantic import Field, TypeAdapter, model_validator

from secondread.errors import UserError
from secondread.settings.base import Settings
from secondread.strict.limits import Limits
from secondread.strict.yaml_text import parse_yaml

NUMBERS = Limits(length=4 << 20, values=200_000)

Metric = Literal[
    "auroc", "average_precision", "f1", "accuracy", "sensitivity", "specificity",
    "pixel_auroc", "pixel_average_precision", "pro", "dice",
]  # fmt: skip
METRICS: tuple[Metric, ...] = get_args(Metric)
_Text = Annotated[str, Field(min_length=1)]
_Share = Annotated[float, Field(ge=0, le=1)]


class PublishedRow(Settings):
    """One number of a paper.

    system    the method, as its authors or those who ran it call it
    dataset   key of the images, such as `kermany-cxr`
    protocol  split and sizes, what was learned from, how epoch and threshold were chosen, as far as known
    value     in [0, 1]; `spread` its standard deviation over runs, where one is given
    source    paper, year, table
    read      `paper` (its authors' repository included) or `secondary`, each with where it was read
    """

    system: _Text
    dataset: Annotated[str, Field(pattern="^[a-z0-9]+(-[a-z0-9]+)*$")]
    protocol: _Text
    metric: Metric
    value: _Share
    spread: _Share | None = None
    source: _Text
    read: Annotated[str, Field(pattern="^(paper$|paper: .|secondary: .)")]
    note: str = ""


class _Protocol(Settings):
    """Numbers under one protocol: metric -> system -> value."""

    dataset: str
    protocol: str
    note: str = ""
    values: dict[Metric, dict[str, float]]
    spreads: dict[Metric, dict[str, float]] = Field(default_factory=dict)
    notes: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _of_systems_that_are_there(self) -> Self:
        for metric, spreads in self.spreads.items():
            if unknown := spreads.keys() - self.values.get(metric, {}).keys():
                raise ValueError(f"spreads of {metric} without a value: {', '.join(sorted(unknown))}")
        systems = {system for values in self.values.values() for system in values}
        if unknown := self.notes.keys() - systems:
            raise ValueError(f"notes on systems without a value: {', '.join(sorted(unknown))}")
        return self


class _Source(Settings):
    source: str
    read: str
    protocols: tuple[_Protocol, ...]

    def rows(self) -> Iterator[PublishedRow]:
        for said in self.protocols:
            for metric, values in said.values.items():
                for system, value in values.items():
                    yield PublishedRow(
                        system=system,
                        dataset=said.dataset,
                        protocol=said.protocol,
                        metric=metric,
                        value=value,
                        spread=said.spreads.get(metric, {}).get(system),
                        source=self.source,
                        read=self.read,
                        note="; ".join(filter(None, (said.note, said.notes.get(system, "")))),
                    )


def published(dataset: str, metrics: Sequence[str] | None = None) -> tuple[PublishedRow, ...]:
    """What was published on a data set, in the order of the file; `metrics` = these alone.

    Raises UserError for a data set or a metric that is not among the known ones.
    """
    if dataset not in datasets():
        raise UserError(f"no published numbers on {dataset!r}; there are some on {', '.join(datasets())}")
    wanted = METRICS if metrics is None else metrics
    if unknown := [metric for metric in wanted if metric not in METRICS]:
        raise UserError(f"{unknown[0]!r} is no metric of published numbers; there are {', '.join(METRICS)}")
    return tuple(row for row in _everything() if row.dataset == dataset and row.metric in wanted)


def datasets() -> tuple[str, ...]:
    """The keys of the data sets that something is known of, sorted."""
    return tuple(sorted({row.dataset for row in _everything()}))


@cache
def _everything() -> tuple[PublishedRow, ...]:
    folder = resources.files("secondread.comparison.writing").joinpath("published_numbers")
    files = sorted((file for file in folder.iterdir() if file.name.endswith(".yaml")), key=lambda f: f.name)
    every = [parse_yaml(file.read_text(encoding="utf-8"), NUMBERS) for file in files]
    sources = TypeAdapter(tuple[_Source, ...]).validate_python([source for each in every for source in each])
    return tuple(row for source in sources for row in source.rows())
