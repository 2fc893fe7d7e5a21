"""The page as one application: its guards, its routes, and what it answers when something fails."""

from __future__ import annotations

from pathlib import Path

from argon2 import PasswordHasher
from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from starlette.middleware import Middleware
from starlette.routing import BaseRoute
from starlette.staticfiles import StaticFiles

from secondread.service.page.access import Access
from secondread.service.page.failures import HANDLERS
from secondread.service.page.guards.bodies import Bodies
from secondread.service.page.guards.crashes import Crashes
from secondread.service.page.guards.crowd import Crowd
from secondread.service.page.guards.headers import SecurityHeaders
from secondread.service.page.guards.origins import Origins
from secondread.service.page.guards.rate import Rate
from secondread.service.page.openid.provider import Provider
from secondread.service.page.people.passwords import Passwords
from secondread.service.page.routes import account, audit, login, openid, people, stow, watched
from secondread.service.page.stow.senders import Senders
from secondread.service.page.study import routes as study
from secondread.service.page.study.opened import Images
from secondread.service.page.study.views import Views
from secondread.service.page.thresholds import routes as thresholds
from secondread.service.page.worklist import routes as worklist
from secondread.service.settings.service import ServiceSettings
from secondread.service.spool.files import Spool
from secondread.service.store.database import Database

STATIC = Path(__file__).parent / "static"
ROUTERS: tuple[APIRouter, ...] = (
    account.router,
    audit.router,
    login.router,
    openid.router,
    people.router,
    stow.router,
    study.router,
    thresholds.router,
    worklist.router,
    watched.router,
)
"""All routes; a new file of routes adds its router here. Routers have no prefix: each path stands where its
route is."""


def create_app(
    settings: ServiceSettings, database: Database, *, hasher: PasswordHasher | None = None
) -> FastAPI:
    """The application, whose tables are there already. `hasher` says what a password's hash costs.

    Raises ValueError for a route that does not say who may use it.
    """
    page = settings.page
    app = FastAPI(
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        middleware=[
            Middleware(SecurityHeaders),
            Middleware(Crashes),
            Middleware(Origins, settings=page),
            Middleware(Crowd, per_minute=page.requests_per_min),
            Middleware(Bodies, upload_bytes=int(page.largest_upload_gb * 1e9)),
        ],
    )
    for kind, handler in HANDLERS.items():
        app.add_exception_handler(kind, handler)
    app.state.settings = settings
    app.state.database = database
    app.state.passwords = Passwords(hasher)
    app.state.passwords.prepare()
    app.state.senders = Senders(page.senders_file)
    app.state.uploads = 0
    app.state.provider = Provider(page.open_id) if page.open_id is not None else None
    app.state.spool = Spool(settings.spool)
    app.state.logins = Rate(page.logins_per_min)
    app.state.images = Images()
    app.state.views = Views()
    for router in ROUTERS:
        for route in router.routes:
            if access_of(route) is None:
                raise ValueError(
                    f"{getattr(route, 'path', route)}: say require(role), anyone() or a_sender()"
                )
            app.router.routes.append(route)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    return app


def access_of(route: BaseRoute) -> Access | None:
    """What a route asks of whoever calls it; None where it does not say, or says it twice."""
    if not isinstance(route, APIRoute):
        return None
    asked: list[object] = [one.call for one in route.dependant.dependencies]
    found = [call for call in asked if isinstance(call, Access)]
    return found[0] if len(found) == 1 else None
