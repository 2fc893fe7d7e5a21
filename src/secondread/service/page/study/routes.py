"""A study's page, its images for the viewers, what it was compared with, and verdicts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Depends, Form, HTTPException, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response

from secondread.errors import DataError
from secondread.images.image import ImageError
from secondread.readings.score_record import ScoreRecord
from secondread.results.promise import Promise
from secondread.service.page.access import Configured, Db, Visitor, require
from secondread.service.page.guards.headers import VIEWER
from secondread.service.page.language.languages import translate
from secondread.service.page.rendering import language_of, render
from secondread.service.page.study import pictures
from secondread.service.page.study.normals import NoNormals, compare
from secondread.service.page.study.opened import Images, Opened, Place, find_place
from secondread.service.page.study.shown import show
from secondread.service.page.study.verdicts import judge
from secondread.service.page.study.views import Views
from secondread.service.settings.service import ServiceSettings
from secondread.service.spool.files import Spool
from secondread.service.store.audit import record
from secondread.service.store.tables import Reading, Study

router = APIRouter()
Viewer = Annotated[Visitor, require("viewer")]
IMAGE = "/studies/{study}/images/{key}"


@router.get("/studies/{study}")
def study_page(request: Request, study: int, visitor: Viewer, settings: Configured, database: Db) -> Response:
    with database.read() as session:
        shown = show(session, study)
    if shown is None:
        raise HTTPException(404)
    views_of(request).write(database, visitor, shown.study.study_uid, anew=True)
    chosen = request.query_params.get("image", "")
    image = next(
        (one for one in shown.images if one.key == chosen), shown.images[0] if shown.images else None
    )
    return render(
        request,
        "study.html",
        headers={"Content-Security-Policy": VIEWER},
        shown=shown,
        study=shown.study,
        image=image,
        promises={reading.id: promise_of(settings, reading) for reading in shown.readings},
        mine=next((said for said in shown.verdicts if said.person == visitor.name), None),
    )


def promise_of(settings: ServiceSettings, reading: Reading) -> Promise:
    """What was promised when the study was read, as its folder tells; nothing where that is gone."""
    try:
        run = ScoreRecord.read(Spool(settings.spool).path_of(reading.folder) / "run.json")
    except (DataError, OSError):
        return Promise()
    return Promise.of(run, "studies" if reading.facts.get("level") == "study" else "images")


@router.post("/studies/{study}/verdict")
def say(
    study: int,
    visitor: Annotated[Visitor, require("reader")],
    database: Db,
    verdict: Annotated[str, Form(pattern="^(agree|disagree)$")],
    comment: Annotated[str, Form(max_length=2000)] = "",
    reading: Annotated[int | None, Form()] = None,
) -> Response:
    with database.write() as session:
        row = session.get(Study, study)
        if row is None or row.state == "erased":
            raise HTTPException(404)
        judge(session, row, visitor.name, agrees=verdict == "agree", comment=comment, reading_id=reading)
        record(
            session, visitor.name, "verdict", study_uid=row.study_uid, detail=verdict, address=visitor.address
        )
    return RedirectResponse(f"/studies/{study}", 303)


def views_of(request: Request) -> Views:
    found: Views = request.app.state.views
    return found


def place_of(
    request: Request, study: int, key: str, visitor: Viewer, settings: Configured, database: Db
) -> Place:
    """Where the image lies that is asked for; whoever asks has seen the study, as the audit then says."""
    with database.read() as session:
        row = session.get(Study, study)
        if row is None or row.state == "erased":
            raise HTTPException(404)
        place, study_uid = find_place(session, Spool(settings.spool), study, key), row.study_uid
    if place is None:
        raise HTTPException(404)
    views_of(request).write(database, visitor, study_uid)
    return place


At = Annotated[Place, Depends(place_of)]


def opened(request: Request, place: At) -> Opened:
    images: Images = request.app.state.images
    try:
        return images.open(place)
    except DataError as error:
        raise HTTPException(410, f"{str(error)[:1].upper()}{str(error)[1:]}.") from None


Shown = Annotated[Opened, Depends(opened)]


@router.get(IMAGE)
def image_facts(_visitor: Viewer, shown: Shown) -> Response:
    """What a viewer has to know of an image, as JSON."""
    return JSONResponse(pictures.described(shown))


def squeezed(request: Request, data: bytes) -> Response:
    if "gzip" in request.headers.get("accept-encoding", ""):
        return Response(
            pictures.squeezed(data),
            media_type="application/octet-stream",
            headers={"Content-Encoding": "gzip"},
        )
    return Response(data, media_type="application/octet-stream")


@router.get(f"{IMAGE}/pixels")
def image_pixels(request: Request, _visitor: Viewer, shown: Shown) -> Response:
    """The exact values, little-endian, in the type that `image_facts` says."""
    return squeezed(request, pictures.raw_pixels(shown))


@router.get(f"{IMAGE}/map")
def image_map(request: Request, _visitor: Viewer, shown: Shown) -> Response:
    """The map, float32, on the image's pixels."""
    data = pictures.raw_map(shown)
    if data is None:
        raise HTTPException(404)
    return squeezed(request, data)


def as_nifti(found: Opened, values: Callable[[Opened], object]) -> Response:
    wanted = values(found)
    if wanted is None or found.image.rank != 3:
        raise HTTPException(404)
    return Response(pictures.nifti(wanted, found.image.geometry), media_type="application/gzip")  # type: ignore[arg-type]


@router.get(f"{IMAGE}/volume.nii.gz")
def volume(_visitor: Viewer, shown: Shown) -> Response:
    return as_nifti(shown, lambda one: pictures.exact(one.image.pixels)[0])


@router.get(f"{IMAGE}/map.nii.gz")
def volume_map(_visitor: Viewer, shown: Shown) -> Response:
    return as_nifti(shown, lambda one: one.map)


@router.get(f"{IMAGE}/picture.png")
def image_picture(request: Request, _visitor: Viewer, shown: Shown) -> Response:
    """For where no script runs: the image in the header's window, with the map where `map=1` asks for it."""
    data = pictures.picture(shown, with_map=request.query_params.get("map") == "1")
    return Response(data, media_type="image/png")


@router.get(f"{IMAGE}/neighbours")
def neighbours(
    request: Request, study: int, key: str, _visitor: Viewer, settings: Configured, place: At
) -> Response:
    """The normals that the image is most like."""
    bundle = next((one for one in settings.bundles if one.name == place.bundle), None)
    compared, why = None, ""
    try:
        if bundle is None:
            raise HTTPException(404)
        compared = compare(bundle.bundle, place.digest, opened(request, place).image)
    except NoNormals as reason:
        why = translate(language_of(request), str(reason))
    except ImageError as error:
        why = error.problem
    return render(request, "neighbours.html", study=study, key=key, compared=compared, why=why)
