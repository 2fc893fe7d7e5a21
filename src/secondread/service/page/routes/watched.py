"""Metrics and health, for machines that nobody has logged in: they hold nothing of a patient."""

from __future__ import annotations

from fastapi import APIRouter

from secondread.service.page.access import anyone
from secondread.service.watching import routes

router = APIRouter()
router.include_router(routes.router, dependencies=[anyone()])
