"""What the service's processes are called, and what each does, which is imported where it runs: torch is in
scorers alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

from secondread.service.settings.service import ServiceSettings
from secondread.service.store.away import Stop

Role = Literal["sender", "keeper", "scorer", "page", "receiver"]
ROLES: tuple[Role, ...] = get_args(Role)
"""In the order in which they start: nothing comes in before there is who takes it further."""
Run = Callable[[ServiceSettings, Stop], None]


def role_of(name: str) -> Role:
    return next(role for role in ROLES if role == name)


def run_of(role: Role) -> Run:
    match role:
        case "sender":
            from secondread.service.delivery.sender import run_sender

            return run_sender
        case "keeper":
            from secondread.service.upkeep.keeper import run_keeper

            return run_keeper
        case "scorer":
            from secondread.service.reading.scorer import run_scorer

            return run_scorer
        case "page":
            from secondread.service.page.serve import run_page

            return run_page
        case "receiver":
            from secondread.service.intake.receiver import run_receiver

            return run_receiver
