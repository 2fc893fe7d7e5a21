"""The report: `metrics.json`, figures as files, and one HTML page that needs nothing else."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from markupsafe import Markup

from secondread.bundles.model_card import RESEARCH
from secondread.drawing.palette import HEAT
from secondread.evaluation.comparisons import BASELINES
from secondread.evaluation.evaluation import Evaluation
from secondread.images.workers.cores import available_cores
from secondread.outputs.private import make_folder
from secondread.outputs.whole import write_whole
from secondread.readings.streamed.packed_readings import PackedReadings
from secondread.reports.cards import data_card, data_name, model_card, model_name
from secondread.reports.figures import draw_figures
from secondread.reports.gallery import make_gallery
from secondread.reports.sequences import sequences_section
from secondread.reports.templates import write_report_page
from secondread.settings.arguments import checked
from secondread.wording.commands import shown_command


@checked
def write_report(
    evaluation: Evaluation, out: str | Path, *, command: Sequence[str] = (), workers: int | None = None
) -> Path:
    """Write `metrics.json`, `report.html` and `figures/` into the folder `out`; return the page's path.

    command  what the person typed, for the record
    workers  processes that read pictures; None = as many as there are cores, 0 = this one

    >>> import secondread
    >>> manifest = secondread.make_phantoms("phantoms", seed=0, n_normal=50, n_abnormal=10)
    >>> bundle = secondread.fit("spectrum", manifest, "bundle", workers=0, progress=False)
    >>> readings = secondread.score(bundle, manifest, "readings", where=["split=test"], workers=0)
    >>> evaluation = secondread.evaluate(readings, manifest, bootstrap=50, workers=0)
    >>> secondread.write_report(evaluation, "report", workers=0).name
    'report.html'
    """
    folder = Path(out)
    make_folder(folder)
    metrics = evaluation.metrics()
    if command:
        metrics["command"] = list(command)
    text = json.dumps(metrics, indent=1, allow_nan=False, ensure_ascii=False) + "\n"
    write_whole(folder / "metrics.json", text.encode())
    cores = min(available_cores(), 8) if workers is None else workers
    return write_report_page(
        folder,
        "page.html",
        evaluation=evaluation,
        figures=draw_figures(evaluation, folder / "figures"),
        gallery=make_gallery(evaluation, workers=cores),
        sequences=_sequences(evaluation, folder / "figures", cores),
        name=model_name(evaluation),
        data=data_name(evaluation),
        data_card=data_card(evaluation),
        model_card=model_card(evaluation),
        research=RESEARCH,
        baseline_names=BASELINES,
        heat=", ".join(f"rgb{colour}" for colour in HEAT),
        command=shown_command(command),
    )


def _sequences(evaluation: Evaluation, figures: Path, workers: int) -> Markup:
    """The section on sequences of test frames, those without a score among them."""
    cases = evaluation.cases
    rows = PackedReadings.of(evaluation.readings.rows)
    frames = np.flatnonzero(~np.isnan(rows.numbers("frame"))).tolist()
    if not frames:
        return Markup("")
    labels = dict(zip(cases.cases.paths_read, cases.cases.abnormal.tolist(), strict=True))
    tested = labels.keys() | {failure.path for failure in cases.failures}
    found = [rows[at] for at in frames if rows.paths[at] in tested]
    return sequences_section(evaluation.readings, found, figures, workers=workers, labels=labels)
