"""STOW-RS (PS3.18 10.5): all objects of a reading in one request, read from disk as they leave."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from secondread.service.delivery.outcome import Later, Refused, check_answer, is_for_later, is_stored, meaning
from secondread.service.delivery.parcel import Item, Parcel
from secondread.service.delivery.reach import secret_in
from secondread.service.delivery.web import ask_options, body_of, web_client
from secondread.service.settings.sending import WebDestination

BLOCK = 1 << 20
_FAILED, _STORED = "00081198", "00081199"
_UID, _REASON = "00081155", "00081197"
_TOO_LARGE = 413


@dataclass
class WebArchive:
    """A DICOMweb server."""

    destination: WebDestination
    timeout_s: float

    def deliver(self, parcel: Parcel, done: set[str]) -> None:
        items = parcel.of_kinds(self.destination.objects, done)
        if not items:
            return
        try:
            self._post(items, done)
        except _TooLarge:  # together; perhaps not each
            if len(items) == 1:
                raise
            refused = []
            for item in items:
                try:
                    self._post([item], done)
                except Refused as error:
                    refused.append(f"{item.kind or 'object'}: {error.reason}")
            if refused:
                raise Refused("; ".join(dict.fromkeys(refused))) from None

    def rest(self) -> None:
        """Nothing is kept open."""

    def ask(self) -> str:
        one = self.destination
        return ask_options(f"{one.url.rstrip('/')}/studies", one.authority, self.timeout_s, self._entrance())

    def _entrance(self) -> dict[str, str]:
        path = self.destination.token_file
        return {} if path is None else {"Authorization": f"Bearer {secret_in(path)}"}

    def _post(self, items: list[Item], done: set[str]) -> None:
        boundary = uuid.uuid4().hex
        head = f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
        try:
            parts = [
                (head if number == 0 else b"\r\n" + head, item, item.path.stat().st_size)
                for number, item in enumerate(items)
            ]
        except OSError as error:
            raise Refused(_gone(error)) from None
        end = f"\r\n--{boundary}--\r\n".encode()
        headers = {
            **self._entrance(),
            "Accept": "application/dicom+json",
            "Content-Type": f'multipart/related; type="application/dicom"; boundary="{boundary}"',
            "Content-Length": str(sum(len(head) + size for head, _, size in parts) + len(end)),
        }
        one = self.destination
        url = f"{one.url.rstrip('/')}/studies"
        with (
            web_client(url, one.authority, self.timeout_s) as client,
            client.stream("POST", url, content=_streamed(parts, end), headers=headers) as response,
        ):
            body = body_of(response)
            status, retry_after = response.status_code, response.headers.get("Retry-After", "")
        if status == _TOO_LARGE:
            raise _TooLarge("HTTP 413: too large for the server")
        told = _told(body)
        if told is None or status not in (200, 202, 409):
            check_answer(status, retry_after)
            if status != 200:
                raise Later(f"HTTP {status}, and no list of what was stored")
            told = {item.uid: 0 for item in items}
        _judge(items, told, done)


class _TooLarge(Refused):
    pass


def _judge(items: list[Item], told: dict[str, int], done: set[str]) -> None:
    later: list[str] = []
    refused: list[str] = []
    for item in items:
        status = told.get(item.uid)
        if status is None:
            later.append(f"{item.kind or 'object'}: the answer does not say whether it was stored")
        elif is_stored(status):
            done.add(item.uid)
        else:
            (later if is_for_later(status) else refused).append(f"{item.kind or 'object'}: {meaning(status)}")
    of = f"of {len(items)} objects not taken"
    if later:
        raise Later(f"{len(later)} {of}: {'; '.join(dict.fromkeys(later))}")
    if refused:
        raise Refused(f"{len(refused)} {of}: {'; '.join(dict.fromkeys(refused))}")


def _streamed(parts: list[tuple[bytes, Item, int]], end: bytes) -> Iterator[bytes]:
    for head, item, _ in parts:
        yield head
        try:
            with item.path.open("rb") as stream:
                while block := stream.read(BLOCK):
                    yield block
        except OSError as error:
            raise Refused(_gone(error)) from None
    yield end


def _gone(error: OSError) -> str:
    return f"a result cannot be read in the spool ({error.strerror}); have the study read again"


def _told(body: bytes) -> dict[str, int] | None:
    """What an answer says of each instance, 0 where it is stored; None where it says nothing of the kind."""
    try:
        found: Any = json.loads(body)
        found = found[0] if isinstance(found, list) else found
        told = {_value(one, _UID): 0 for one in found.get(_STORED, {}).get("Value", ())}
        told |= {
            _value(one, _UID): int(_value(one, _REASON)) for one in found.get(_FAILED, {}).get("Value", ())
        }
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError):
        return None
    return told or None


def _value(item: Any, tag: str) -> Any:
    return item[tag]["Value"][0]
