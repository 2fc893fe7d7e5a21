"""STOW-RS (PS3.18 10.5): studies come in over HTTP, from machines that have a token."""

from __future__ import annotations

from collections import Counter
from typing import Annotated

from fastapi import APIRouter, HTTPException, Request
from fastapi import Path as InPath
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response
from python_multipart.multipart import parse_options_header

from secondread.service.intake.receive import CANNOT_UNDERSTAND, OUT_OF_RESOURCES, Received, receive_instance
from secondread.service.page.access import Visitor, a_sender, database_of, settings_of
from secondread.service.page.stow.answer import media_type_of, status_of, written
from secondread.service.page.stow.parts import Malformed, Part, Parts
from secondread.service.spool.files import Spool
from secondread.service.store.audit import record
from secondread.service.store.refusals import count_refusals

router = APIRouter()
Sender = Annotated[Visitor, a_sender()]
AT_ONCE = 16
"""Uploads; more are told to come again (503)."""
BLOCK = 1 << 20
LONGEST_BOUNDARY = 70
"""RFC 2046."""


@router.post("/dicom-web/studies")
async def store(request: Request, sender: Sender) -> Response:
    return await _store(request, sender, "")


@router.post("/dicom-web/studies/{study_uid}")
async def store_of_study(
    request: Request,
    sender: Sender,
    study_uid: Annotated[str, InPath(pattern=r"^[0-9.]{1,64}$")],
) -> Response:
    """Of one study alone: an instance of another is a failure."""
    return await _store(request, sender, study_uid)


async def _store(request: Request, sender: Visitor, study_uid: str) -> Response:
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    boundary = options.get(b"boundary", b"")
    if kind != b"multipart/related" or options.get(b"type", b"application/dicom") != b"application/dicom":
        raise HTTPException(415, 'Send multipart/related; type="application/dicom".')
    if not 0 < len(boundary) <= LONGEST_BOUNDARY:
        raise HTTPException(400, "The Content-Type names no boundary that can be used.")
    media_type = media_type_of(request.headers.get("accept", ""))
    if media_type is None:
        raise HTTPException(406, "Answers are application/dicom+json or application/dicom+xml.")
    state = request.app.state
    if state.uploads >= AT_ONCE:
        raise HTTPException(503, "Too many uploads at this moment.", {"Retry-After": "10"})
    state.uploads += 1
    try:
        received = await _taken(request, sender, study_uid, boundary)
    finally:
        state.uploads -= 1
    await run_in_threadpool(_audit, request, sender, received)
    status = status_of(received)
    headers = {"Retry-After": "60"} if status == 503 else None
    return Response(written(received, media_type), status, headers, media_type)


async def _taken(request: Request, sender: Visitor, study_uid: str, boundary: bytes) -> list[Received]:
    """What became of each part. An instance is on the disk with its row before the next one is looked at:
    whoever breaks off may send everything again."""
    settings, database, spool = settings_of(request), database_of(request), _spool(request)
    name = sender.name.removeprefix("[sender ").removesuffix("]")
    received: list[Received] = []

    def take(part: Part) -> None:
        if part.trouble is not None:
            received.append(Received(*part.trouble))
        else:
            received.append(
                receive_instance(database, spool, settings, part.file, f"stow {name}", study_uid=study_uid)
            )

    parts = Parts(
        boundary,
        spool.incoming,
        largest=int(settings.receive.largest_gb * 1e9),
        statuses=(OUT_OF_RESOURCES, CANNOT_UNDERSTAND),
        take=take,
    )
    try:
        waiting = bytearray()
        async for block in request.stream():
            waiting += block
            if len(waiting) >= BLOCK:
                await run_in_threadpool(parts.feed, bytes(waiting))
                waiting.clear()
        await run_in_threadpool(parts.feed, bytes(waiting))
        if not parts.ended:
            raise Malformed("the body ends before its last boundary")
    except Malformed as error:
        raise HTTPException(400, f"This cannot be read: {error}.") from None
    finally:
        parts.close()
    return received


def _spool(request: Request) -> Spool:
    found: Spool = request.app.state.spool
    return found


def _audit(request: Request, sender: Visitor, received: list[Received]) -> None:
    """A row for each study; what was refused counts to the study that it named, and among all refusals."""
    refused_as = Counter(("instance refused", f"{one.status:04X}") for one in received if one.status != 0)
    counts: dict[str, list[int]] = {}
    for one in received:
        of = one.told.study_uid if one.told is not None else ""
        counts.setdefault(of, [0, 0])[one.status != 0] += 1
    with database_of(request).write() as session:
        for study, (kept, refused) in counts.items():
            detail = f"{kept} instances kept, {refused} refused"
            record(session, sender.name, "received", study_uid=study, detail=detail, address=sender.address)
        count_refusals(session, refused_as)
