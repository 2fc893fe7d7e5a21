"""The report: `metrics.json`, figures as files, and one HTML page that needs nothing else."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from secondread import __version__
from secondread.evaluation.comparisons import BASELINES
from secondread.evaluation.evaluate import Evaluation
from secondread.reports import wording
from secondread.reports.cards import data_card, data_name, model_card, model_name
from secondread.reports.figures import draw_figures
from secondread.reports.gallery import make_gallery
from secondread.reports.palette import HEAT
from secondread.whole import write_whole


def write_report(
    evaluation: Evaluation, out: str | Path, *, command: Sequence[str] = (), workers: int | None = None
) -> Path:
    """Write `metrics.json`, `report.html` and `figures/` into the folder `out`; return the page's path.

    command  what the person typed, for the record
    workers  processes that read pictures; None = as many as there are cores, 0 = this one
    """
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    metrics = evaluation.metrics()
    if command:
        metrics["command"] = list(command)
    text = json.dumps(metrics, indent=1, allow_nan=False, ensure_ascii=False) + "\n"
    write_whole(folder / "metrics.json", text.encode())
    cores = min(os.cpu_count() or 1, 8) if workers is None else workers
    page = (
        _environment()
        .from_string(_own_file("page.html"))
        .render(
            css=Markup(_own_file("page.css")),
            evaluation=evaluation,
            figures=draw_figures(evaluation, folder / "figures"),
            gallery=make_gallery(evaluation, workers=cores),
            name=model_name(evaluation),
            data=data_name(evaluation),
            data_card=data_card(evaluation),
            model_card=model_card(evaluation),
            baseline_names=BASELINES,
            heat=", ".join(f"rgb{colour}" for colour in HEAT),
            made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
            version=__version__,
            command=" ".join(command),
        )
    )
    report = folder / "report.html"
    write_whole(report, page.encode())
    return report


def _environment() -> Environment:
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    for name in ("number", "significant", "percent", "span", "percent_span", "signed", "count", "plain"):
        environment.filters[name] = getattr(wording, name)
    environment.filters["file_name"] = lambda path: path.rsplit("/", 1)[-1]
    return environment


def _own_file(name: str) -> str:
    return resources.files("secondread.reports").joinpath(name).read_text(encoding="utf-8")
