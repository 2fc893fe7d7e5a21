"""Results reach web archives by STOW-RS."""

from __future__ import annotations

import email
import io
import json
import ssl
from collections.abc import Callable
from pathlib import Path

import pydicom
import trustme
from listeners import Request, Web
from waiting import NAME, Waiting

from secondread.service.delivery.echo import ask_everybody

Answer = tuple[int, dict[str, str], bytes]


def received(request: Request) -> list[str]:
    """The UIDs of a request's instances, taken apart by Python's own parser of MIME."""
    head = f"Content-Type: {request.headers['content-type']}\r\n\r\n".encode()
    parts = email.message_from_bytes(head + request.body)
    assert parts.get_content_type() == "multipart/related"
    assert not parts.defects
    found = []
    for part in parts.get_payload():
        assert part.get_content_type() == "application/dicom"  # type: ignore[union-attr]
        read = pydicom.dcmread(io.BytesIO(part.get_payload(decode=True)))  # type: ignore[union-attr,arg-type]
        assert len(read.get("PixelData", b"")) in (0, 16)
        found.append(str(read.SOPInstanceUID))
    return found


def stored(uids: list[str], failed: dict[str, int] | None = None) -> Answer:
    """The store's answer (PS3.18 10.5.3), with a reason for each that failed."""
    failed = failed or {}
    body: dict[str, object] = {}
    for tag, some in (("00081199", [uid for uid in uids if uid not in failed]), ("00081198", list(failed))):
        items = [
            {
                "00081155": {"vr": "UI", "Value": [uid]},
                **({"00081197": {"vr": "US", "Value": [failed[uid]]}} if uid in failed else {}),
            }
            for uid in some
        ]
        if items:
            body[tag] = {"vr": "SQ", "Value": items}
    status = 200 if not failed else 409 if len(failed) == len(uids) else 202
    return status, {"Content-Type": "application/dicom+json"}, json.dumps(body).encode()


def web_to(answer: Callable[[Request], Answer], tls: ssl.SSLContext | None = None) -> Web:
    return Web(answer, tls)


def sent(folder: Path, web: Web, number: int = 1, **more: object) -> Waiting:
    waiting = Waiting(folder, {"web": [{"name": "web", "url": f"{web.url}/dicom-web", **more}]})
    waiting.add(number, flagged=False)
    return waiting


def test_all_objects_of_a_reading_leave_in_one_request_with_the_token_over_tls(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    (tmp_path / "token").write_text("abc.def\n")
    with web_to(lambda request: stored(received(request)), context).listening() as web:
        waiting = sent(
            tmp_path, web, token_file=tmp_path / "token", authority=tmp_path / "ca.pem", objects=["overlay"]
        )
        waiting.send_all()
        stranger = sent(tmp_path / "stranger", web)
        with stranger.sending():
            stranger.until(lambda: "certificate was not accepted" in stranger.told())
    (request,) = web.requests
    assert (request.method, request.path) == ("POST", "/dicom-web/studies")
    assert request.headers["authorization"] == "Bearer abc.def"
    assert received(request) == waiting.uids[1:]
    assert waiting.states() == ["done"]


def test_of_an_answer_each_object_is_read_by_itself(tmp_path: Path) -> None:
    seen: list[list[str]] = []

    def answer(request: Request) -> Answer:
        seen.append(received(request))
        return stored(seen[-1], {seen[0][0]: 0xA700} if len(seen) == 1 else {})

    with web_to(answer).listening() as web:
        waiting = sent(tmp_path, web)
        waiting.send_all()
    assert seen == [waiting.uids, waiting.uids[:1]]
    assert waiting.states() == ["done"]
    with web_to(lambda request: stored(received(request), {received(request)[1]: 0x0122})).listening() as web:
        waiting = sent(tmp_path / "refused", web)
        waiting.send_all()
    assert waiting.states() == ["set aside"]
    assert waiting.reasons() == ["1 of 2 objects not taken: overlay: 0x0122 kind of object not supported"]


def test_what_is_too_large_together_leaves_one_by_one(tmp_path: Path) -> None:
    def answer(request: Request) -> Answer:
        uids = received(request)
        return (413, {}, b"") if len(uids) > 1 else stored(uids)

    with web_to(answer).listening() as web:
        waiting = sent(tmp_path, web)
        waiting.send_all()
    assert [received(one) for one in web.requests[1:]] == [[uid] for uid in waiting.uids]
    assert waiting.states() == ["done"]


def test_a_server_that_lets_nobody_in_gets_everything_when_the_token_is_right(tmp_path: Path) -> None:
    def answer(request: Request) -> Answer:
        if request.headers["authorization"] != "Bearer right":
            return 401, {}, NAME.encode()
        return stored(received(request))

    (tmp_path / "token").write_text("wrong")
    with web_to(answer).listening() as web:
        waiting = sent(tmp_path, web, 2, token_file=tmp_path / "token")
        with waiting.sending():
            waiting.until(lambda: "HTTP 401 Unauthorized" in waiting.told())
            waiting.until(lambda: waiting.states() == ["waiting"] * 2)  # not while one is tried again
            (tmp_path / "token").write_text("right")
            waiting.until(lambda: waiting.states() == ["done"] * 2)
    assert NAME not in waiting.told()


def test_a_move_is_not_followed_and_an_answer_without_a_list_is_read_by_its_status(tmp_path: Path) -> None:
    answers = [
        (302, {"Location": "http://127.0.0.1:9/"}, b""),
        (503, {"Retry-After": "1"}, b""),
        (200, {}, b""),
    ]
    with web_to(lambda _: answers.pop(0)).listening() as web:
        waiting = sent(tmp_path, web)
        waiting.send_all()
    assert len(web.requests) == 3
    assert waiting.states() == ["done"]


def test_every_destination_says_whether_it_is_there(tmp_path: Path) -> None:
    with web_to(lambda _: (405, {}, b"")).listening() as web:
        send = {
            "web": [
                {"name": "there", "url": web.url},
                {"name": "wrong", "url": "http://127.0.0.1:9/dicom-web"},
            ]
        }
        found = {one.name: one for one in ask_everybody(Waiting(tmp_path, send).settings)}
    assert found["there"].said == "OPTIONS, HTTP 405"
    assert found["there"].reached
    assert not found["wrong"].reached
    assert "nobody listens there" in found["wrong"].said
