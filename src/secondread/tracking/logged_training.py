"""A training told to loggers in the form of Lightning Fabric's: CSV, TensorBoard, MLflow or one's own."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from lightning_fabric.loggers import CSVLogger, Logger, TensorBoardLogger
from matplotlib import rc_context
from matplotlib.figure import Figure

from secondread.drawing.style import STYLE
from secondread.drawing.training_curves import curves_size, draw_curves, with_curves
from secondread.outputs.whole import write_whole
from secondread.tracking.mlflow_logger import MlflowLogger
from secondread.training.log import EpochLog, TrainingLog
from secondread.training.observer import Observer


class LoggedTraining(Observer):
    """Tells loggers what happens in a fit.

    By epoch (the step is the epoch, from 1) `STAGE/loss NAME`, `STAGE/held-out`, `STAGE/learning rate`,
    `STAGE/images per second`, `STAGE/skipped steps` and `STAGE/AUROC without labels, RULE`; by step
    `STAGE.steps/loss NAME` and `STAGE.steps/learning rate`. In a session that goes on with a fit the epochs
    of earlier ones are told again.
    """

    def __init__(self, loggers: Sequence[Logger], settings: Mapping[str, Any]) -> None:
        self.loggers = loggers
        for logger in loggers:
            if isinstance(logger, CSVLogger):  # which has no place for them
                _ = logger.experiment  # makes the folder
                _keep_text(logger, "settings.yaml", yaml.safe_dump(dict(settings), sort_keys=False))
            else:
                logger.log_hyperparams(flat(settings))

    def begun(self, log: TrainingLog) -> None:
        for stage in log.stages:
            for epoch in stage.epochs:
                self._tell(of_epoch(stage.name, epoch), epoch.epoch + 1)

    def stepped(self, stage: str, step: int, losses: Mapping[str, float], lr: float) -> None:
        told = {f"{stage}.steps/loss {name}": value for name, value in losses.items()}
        self._tell({**told, f"{stage}.steps/learning rate": lr}, step)

    def epoch_ended(self, stage: str, epoch: EpochLog, epochs: int, log: TrainingLog) -> None:
        self._tell(of_epoch(stage, epoch), epoch.epoch + 1)
        for logger in self.loggers:
            logger.save()

    def ended(self, log: TrainingLog) -> None:
        for stage in log.stages:
            figures = {f"{stage.name}/{name}": value for name, value in stage.figures.items()}
            self._tell(figures, len(stage.epochs))
        if stages := with_curves(log.stages):
            with rc_context(STYLE):
                figure = Figure(figsize=curves_size(stages), layout="constrained")
                draw_curves(figure, stages)
            for logger in self.loggers:
                _keep_figure(logger, "training", figure)

    def finish(self, facts: Mapping[str, Any], card: str) -> None:
        """The bundle is written: facts of it, and its card."""
        for logger in self.loggers:
            logger.log_metrics({n: v for n, v in facts.items() if isinstance(v, int | float)}, 0)
            _keep_text(logger, "model-card.md", card)
        self.close("success")

    def close(self, status: str) -> None:
        for logger in self.loggers:
            logger.finalize(status)

    def _tell(self, values: Mapping[str, float | None], step: int) -> None:
        finite = {name: value for name, value in values.items() if value is not None and math.isfinite(value)}
        if finite:
            for logger in self.loggers:
                logger.log_metrics(finite, step)


def of_epoch(stage: str, epoch: EpochLog) -> dict[str, float | None]:
    """An epoch's numbers under their names."""
    return {
        **{f"{stage}/loss {name}": value for name, value in epoch.losses.items()},
        f"{stage}/held-out": epoch.validation,
        f"{stage}/learning rate": epoch.lr,
        f"{stage}/images per second": epoch.images / epoch.seconds if epoch.seconds else None,
        f"{stage}/skipped steps": epoch.skipped,
        **{f"{stage}/AUROC without labels, {rule}": value for rule, value in epoch.measured.items()},
    }


def flat(settings: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Nested settings under dotted names, as `--set` takes them; lists as text.

    >>> flat({"detector": {"name": "ae", "sides": [1, 2]}, "seed": 0})
    {'detector.name': 'ae', 'detector.sides': '[1, 2]', 'seed': 0}
    """
    found: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{before}{name}.")
        else:
            found[before + name] = value if isinstance(value, str | int | float | bool) else str(value)
    return found


def _keep_figure(logger: Logger, name: str, figure: Figure) -> None:
    if isinstance(logger, TensorBoardLogger):
        logger.experiment.add_figure(name, figure, close=False)
    elif isinstance(logger, MlflowLogger):
        logger.keep_figure(f"{name}.png", figure)
    elif isinstance(logger, CSVLogger):
        figure.savefig(f"{logger.log_dir}/{name}.png", dpi=150, facecolor="white")


def _keep_text(logger: Logger, name: str, text: str) -> None:
    if isinstance(logger, TensorBoardLogger):
        logger.experiment.add_text(name, text)
    elif isinstance(logger, MlflowLogger):
        logger.keep_text(name, text)
    elif isinstance(logger, CSVLogger):
        write_whole(Path(logger.log_dir) / name, text.encode())
