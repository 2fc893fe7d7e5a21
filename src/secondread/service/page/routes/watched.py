"""Metrics and health, for machines that nobody has logged in: they hold nothing of a patient."""

from __future__ import annotations

from fastapi import APIRouter

from secondread.service.page.access import anyone
from secondread.service.watching import routes

router = APIRouter()
router.add_api_route("/metrics", routes.metrics, dependencies=[anyone()])
router.add_api_route("/health/live", routes.live, dependencies=[anyone()])
router.add_api_route("/health/ready", routes.ready, dependencies=[anyone()])
