"""`/metrics`, `/health/live` and `/health/ready`, for machines. The page adds who may ask."""

from __future__ import annotations

from fastapi import HTTPException, Request, Response
from fastapi.responses import JSONResponse

from secondread.service.watching.health import health_of
from secondread.service.watching.metrics import TYPE, ServiceMetrics


def metrics(request: Request) -> Response:
    """In Prometheus' text format; 404 where `page.metrics` is off."""
    state = request.app.state
    if not state.settings.page.metrics:
        raise HTTPException(404)
    if not hasattr(state, "metrics"):
        state.metrics = ServiceMetrics(state.database, state.settings)
    return Response(state.metrics.text(), media_type=TYPE)


def live() -> Response:
    """The process answers."""
    return JSONResponse({"live": True})


def ready(request: Request) -> Response:
    """200 where studies can be taken and read, else 503, with what was looked at."""
    found = health_of(request.app.state.database, request.app.state.settings)
    return JSONResponse({"ready": found.ready, "checks": found.checks}, 200 if found.ready else 503)
