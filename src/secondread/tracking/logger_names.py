"""The loggers that have a name, and what each needs. No torch here."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec

from secondread.errors import UserError
from secondread.wording.extras import install_command
from secondread.wording.lists import few
from secondread.wording.one_text import refuse_one_text

NEEDS = {"csv": (), "tensorboard": ("tensorboard",), "mlflow": ("mlflow", "sqlalchemy", "alembic")}
"""The packages of each; the extra that brings them has its name."""


def refuse_loggers(names: Iterable[object]) -> None:
    """Raises UserError for a name that is none, and where a logger's packages are not installed; what is no
    text is a logger itself."""
    refuse_one_text(names, "loggers")
    for name in names:
        if not isinstance(name, str):
            continue
        if name not in NEEDS:
            raise UserError(f"no logger is called {name!r}; there is {few(list(NEEDS))}")
        if missing := [package for package in NEEDS[name] if find_spec(package) is None]:
            raise UserError(f"the logger {name} needs {few(missing)}: {install_command(name)}")
