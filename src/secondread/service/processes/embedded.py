"""A service of one bundle on this machine, with a configuration that is written once and can be changed."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from secondread.errors import UserError
from secondread.outputs.whole import write_whole
from secondread.service.settings.service import ServiceSettings

NAME = "service.yaml"
HEAD = """\
# The configuration of this service. Change it, and start again with `secondread serve` and this file.
"""


def embedded(bundle: Path, spool: Path) -> tuple[Path, ServiceSettings]:
    """The configuration in the spool, written for `bundle` where there is none yet.

    Raises UserError where the one that is there reads with other bundles.
    """
    file = spool / NAME
    if not file.exists():
        name = re.sub(r"[^A-Za-z0-9_.-]+", "-", bundle.absolute().name.removesuffix(".zip")).strip("-._")[:64]
        told = {"spool": ".", "bundles": [{"name": name or "bundle", "bundle": str(bundle.absolute())}]}
        ServiceSettings.model_validate(told)
        write_whole(file, (HEAD + yaml.safe_dump(told, sort_keys=False, allow_unicode=True)).encode())
    settings = ServiceSettings.load(file)
    if bundle.absolute() not in [one.bundle.absolute() for one in settings.bundles]:
        raise UserError(
            f"{file}: this service reads with another bundle; change it there and give `serve` that "
            "file, or choose another spool with --spool"
        )
    return file, settings
