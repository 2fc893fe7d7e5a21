"""How a Ray cluster is joined, or a Ray of this machine's own begun."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from secondread.errors import UserError
from secondread.images.workers.cores import available_cores
from secondread.wording.extras import install_command

LOCAL = "local"
REACH_SECONDS = 10.0
TRIES = 3
STARTS_SLOWLY = "timed out during startup"
OBJECT_STORE_BYTES = 100 << 20


def import_ray() -> Any:
    """The module `ray`, set to send nothing; UserError where it is not installed."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    try:
        import ray
    except ImportError as error:
        raise UserError(f"--ray needs Ray ({error}): {install_command('ray')}") from error
    logging.getLogger("ray").propagate = True  # Ray keeps its warnings from every log but its own
    return ray


@contextmanager
def connected(ray: Any, address: str, cores: int | None = None, store: int = 0) -> Iterator[None]:
    """Ray for the block, quiet as long as it runs; one that the caller has begun is used and left alone.

    address  of a cluster (`auto`, `HOST:6379`), or `local`: start Ray on this machine, whose environment its
             workers have; elsewhere they have that in which their machine joined the cluster
    cores    that a `local` Ray may use; none = all that this process may use
    store    bytes that its object store has to hold at once

    Raises UserError where it cannot be reached.
    """
    if address != LOCAL:
        _refuse_unreachable(address)
    if ray.is_initialized():
        yield
        return
    settings: dict[str, Any] = {"address": address, "log_to_driver": False, "logging_level": "ERROR"}
    if address == LOCAL:
        settings |= {
            "num_cpus": cores or available_cores(),
            "object_store_memory": max(OBJECT_STORE_BYTES, store),
            "include_dashboard": False,
        }
    logger = logging.getLogger("ray")
    level = logger.level
    try:
        _begin(ray, address, settings)
        yield
    finally:
        ray.shutdown()
        logger.setLevel(level)


def _begin(ray: Any, address: str, settings: dict[str, Any]) -> None:
    """Ray gives its own processes half a minute to start, which on a machine at work may be too little: then
    another try finds their files in memory."""
    for left in reversed(range(TRIES)):
        try:
            ray.init(**settings)
            return
        except Exception as error:
            if not left or STARTS_SLOWLY not in str(error):
                raise UserError(f"--ray {address}: cannot be reached ({why_refused(error)})") from error
            ray.shutdown()


def why_refused(error: BaseException) -> str:
    """What Ray's error says; where the cluster asked for a token, how to give one."""
    chain: BaseException | None = error
    while chain is not None:
        if "InvalidAuthToken" in str(chain):
            return "it asks for a token: set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH to the cluster's own"
        chain = chain.__cause__
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"


def _refuse_unreachable(address: str) -> None:
    """UserError where nothing listens at HOST:PORT; Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    if not port.isdigit() or not host or "/" in host:
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), REACH_SECONDS).close()
    except OSError as error:
        raise UserError(f"--ray {address}: cannot be reached ({error.strerror or error})") from error
