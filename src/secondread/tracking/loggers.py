"""Loggers by name: `csv`, `tensorboard`, `mlflow`. Each writes below a folder beside the bundle."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from lightning_fabric.loggers import CSVLogger, Logger, TensorBoardLogger

from secondread.outputs.private import make_folder
from secondread.tracking.logger_names import refuse_loggers
from secondread.tracking.mlflow_logger import MlflowLogger


def loggers_of(names: Sequence[str | Logger], folder: Path, run: str) -> list[Logger]:
    """The loggers that are named, and those that were given, in order and each once.

    folder  where they write: `csv/version_N`, `tensorboard` and `mlflow.db` with `mlflow-artifacts`
    run     what MLflow calls the run

    Raises UserError as `refuse_loggers` does.
    """
    refuse_loggers(names)
    if names:
        make_folder(folder)
    return [name if isinstance(name, Logger) else _named(name, folder, run) for name in dict.fromkeys(names)]


def _named(name: str, folder: Path, run: str) -> Logger:
    if name == "csv":
        return CSVLogger(folder, name="csv")
    if name == "tensorboard":
        logging.getLogger("tensorboard").setLevel(logging.ERROR)
        return TensorBoardLogger(folder, name="tensorboard", version="", default_hp_metric=False)
    return MlflowLogger(folder, run)
