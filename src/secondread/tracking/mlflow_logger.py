"""MLflow behind the interface of Lightning Fabric's loggers, of which Fabric has none for it.

Without `MLFLOW_TRACKING_URI` it writes into a SQLite file beside the bundle; `mlflow ui
--backend-store-uri sqlite:///bundle.logs/mlflow.db` shows it. MLflow's telemetry is switched off.
"""

from __future__ import annotations

import logging
import os
import time
import warnings
from argparse import Namespace
from pathlib import Path
from typing import Any

from lightning_fabric.loggers import Logger

EXPERIMENT = "secondread"
LONGEST_VALUE = 6000
"""Characters of a parameter that MLflow takes."""
MOST_WAITING = 500
"""Numbers that wait to be written together; MLflow takes 1000 at once."""
QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "1"}


class MlflowLogger(Logger):
    """A run of MLflow.

    folder  for `mlflow.db`, `mlflow-artifacts` and `mlflow-run.txt`, by which a resumed fit goes on with its
            run
    run     its name
    """

    def __init__(self, folder: Path, run: str) -> None:
        for name, value in QUIET.items():
            os.environ.setdefault(name, value)
        for library in ("mlflow", "alembic"):
            logging.getLogger(library).setLevel(logging.WARNING)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of SQLAlchemy, about MLflow's own use of it
            from mlflow.tracking import MlflowClient

        self._waiting: list[Any] = []
        folder = Path(folder).absolute()
        uri = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{folder / 'mlflow.db'}"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._client = MlflowClient(tracking_uri=uri)
        self._run_file = folder / "mlflow-run.txt"
        self._run_id = self._earlier() or self._new(folder, run, local=uri.startswith("sqlite:"))

    def _earlier(self) -> str | None:
        """The run that an earlier session began, taken up again."""
        from mlflow.exceptions import MlflowException

        if not self._run_file.is_file():
            return None
        run_id = self._run_file.read_text(encoding="utf-8").strip()
        try:
            self._client.set_terminated(run_id, status="RUNNING")
        except MlflowException:
            return None
        return run_id

    def _new(self, folder: Path, run: str, *, local: bool) -> str:
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or EXPERIMENT
        found = self._client.get_experiment_by_name(name)
        place = (folder / "mlflow-artifacts").as_uri() if local else None
        experiment = found.experiment_id if found else self._client.create_experiment(name, place)
        run_id = str(self._client.create_run(experiment, run_name=run).info.run_id)
        self._run_file.write_text(run_id, encoding="utf-8")
        return run_id

    @property
    def name(self) -> str:
        return EXPERIMENT

    @property
    def version(self) -> str:
        return self._run_id

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        self._waiting += [
            Metric(_plain(name), float(value), now, step or 0) for name, value in metrics.items()
        ]
        if len(self._waiting) >= MOST_WAITING:
            self.save()

    def save(self) -> None:
        """Write what waits: each write costs milliseconds, which a step has not to spare."""
        while self._waiting:
            self._client.log_batch(self._run_id, metrics=self._waiting[:1000])
            del self._waiting[:1000]

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        from mlflow.entities import Param

        values = vars(params) if isinstance(params, Namespace) else params
        kept = self._client.get_run(self._run_id).data.params
        given = [
            Param(_plain(name), str(value)[:LONGEST_VALUE])
            for name, value in values.items()
            if _plain(name) not in kept
        ]
        for start in range(0, len(given), 100):
            self._client.log_batch(self._run_id, params=given[start : start + 100])

    def keep_figure(self, name: str, figure: Any) -> None:
        self._client.log_figure(self._run_id, figure, name)

    def keep_text(self, name: str, text: str) -> None:
        self._client.log_text(self._run_id, text, name)

    def finalize(self, status: str) -> None:
        self.save()
        said = {"success": "FINISHED", "aborted": "KILLED"}.get(status, "FAILED")
        self._client.set_terminated(self._run_id, status=said)


def _plain(name: str) -> str:
    """A name of the signs that MLflow takes."""
    return "".join(char if char.isalnum() or char in "_-. /" else "_" for char in name)
