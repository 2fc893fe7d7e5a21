"""Whether the machines of a cluster are large enough, and see what they are to work on."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from secondread.errors import UserError
from secondread.outputs.private import make_folder
from secondread.version import __version__
from secondread.wording.lists import few

RETRIES = 3
"""How often work is begun again whose worker or machine died."""


def go_to(folder: str) -> None:
    """In a worker: paths that a person wrote are relative to the folder where the command was typed."""
    with contextlib.suppress(OSError):
        os.chdir(folder)


def alive(ray: Any) -> list[dict[str, Any]]:
    """The machines that are there."""
    return [node for node in ray.nodes() if node["Alive"]]


def refuse_too_small(nodes: Sequence[dict[str, Any]], threads: int) -> float:
    """Memory of the largest machine in bytes; UserError where no machine has `threads` cores."""
    cores = max((node["Resources"].get("CPU", 0) for node in nodes), default=0)
    if cores < threads:
        raise UserError(
            f"no machine of the Ray cluster has {threads} cores (the largest has {cores:g}); "
            "give fewer --threads"
        )
    able = [node for node in nodes if node["Resources"].get("CPU", 0) >= threads]
    return max(float(node["Resources"].get("memory", 0)) for node in able)


def refuse_unshared(ray: Any, nodes: Sequence[dict[str, Any]], folder: Path, files: Sequence[str]) -> None:
    """UserError where a machine of the cluster lacks the folder, one of the files or this secondread."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    make_folder(folder)
    marker = folder / f".seen-{secrets.token_hex(8)}"
    marker.touch()
    look = ray.remote(num_cpus=0, max_retries=RETRIES)(lacks)
    try:
        looks = [
            (
                node["NodeManagerHostname"],
                look.options(
                    scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
                ).remote(str(marker), list(files), __version__),
            )
            for node in nodes
            if node["Resources"].get("CPU", 0)
        ]
        missing = []
        for host, call in looks:
            try:
                missing += [f"{host} {lack}" for lack in ray.get(call)]
            except Exception as error:
                said = str(error).strip().splitlines()[-1]
                missing.append(f"{host} cannot load secondread {__version__} ({said})")
    finally:
        marker.unlink(missing_ok=True)
    if missing:
        raise UserError(
            f"{few(missing)}; every machine of the Ray cluster needs the same paths and the same secondread"
        )


def lacks(marker: str, files: Sequence[str], version: str) -> list[str]:
    """What the machine that this runs on does not have, in words."""
    found = []
    if not Path(marker).is_file():
        found.append(f"does not see the folder {Path(marker).parent}")
    found += [f"does not see {file}" for file in files if not Path(file).exists()]
    if __version__ != version:
        found.append(f"has secondread {__version__}, not {version}")
    return found
