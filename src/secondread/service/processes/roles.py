"""What the service's processes are called, and what each does, which is imported where it runs: torch is in
scorers alone."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Literal, get_args

from secondread.service.settings.service import ServiceSettings
from secondread.service.store.away import Stop

Role = Literal["sender", "keeper", "scorer", "page", "receiver"]
ROLES: tuple[Role, ...] = get_args(Role)
"""In the order in which they start: nothing comes in before there is who takes it further."""
Run = Callable[[ServiceSettings, Stop], None]

PLACES: dict[Role, tuple[str, str]] = {
    "sender": ("secondread.service.delivery.sender", "run_sender"),
    "keeper": ("secondread.service.upkeep.keeper", "run_keeper"),
    "scorer": ("secondread.service.reading.scorer", "run_scorer"),
    "page": ("secondread.service.page.serve", "run_page"),
    "receiver": ("secondread.service.intake.receiver", "run_receiver"),
}


def is_there(role: Role) -> bool:
    """Whether this version has it."""
    try:
        return find_spec(PLACES[role][0]) is not None
    except ModuleNotFoundError:
        return False


def role_of(name: str) -> Role:
    return next(role for role in ROLES if role == name)


def run_of(role: Role) -> Run:
    module, function = PLACES[role]
    found: Run = getattr(import_module(module), function)
    return found
