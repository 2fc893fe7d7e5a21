"""A JSON message to an address, signed as Standard Webhooks has it (https://www.standardwebhooks.com).

`webhook-signature` is `v1,` and the base64 of HMAC-SHA256 over `ID.TIMESTAMP.BODY`; a receiver checks it and
that the timestamp is recent. `webhook-id` follows from the reading: one that was seen is no news.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from secondread.service.delivery.message import link, message_id, when
from secondread.service.delivery.outcome import Away, check_answer
from secondread.service.delivery.parcel import Parcel
from secondread.service.delivery.reach import secret_in
from secondread.service.delivery.web import ask_options, body_of, web_client
from secondread.service.settings.sending import Webhook
from secondread.version import __version__

SECRET = "whsec_"
"""Before a secret in base64; any other text is taken as it is."""
SHORTEST_SECRET = 16
TOLD = "told"


@dataclass
class Hook:
    destination: Webhook
    public_url: str
    timeout_s: float

    def deliver(self, parcel: Parcel, done: set[str]) -> None:
        one = self.destination
        body = json.dumps(self._message(parcel), ensure_ascii=False, allow_nan=False).encode()
        headers = {"Content-Type": "application/json", "User-Agent": f"secondread/{__version__}"}
        headers |= signed(message_id(parcel, one.name), body, one.secret_file, time.time())
        with (
            web_client(one.url, one.authority, self.timeout_s) as client,
            client.stream("POST", one.url, content=body, headers=headers) as response,
        ):
            body_of(response)
            check_answer(response.status_code, response.headers.get("Retry-After", ""))
        done.add(TOLD)

    def rest(self) -> None:
        """Nothing is kept open."""

    def ask(self) -> str:
        one = self.destination
        if one.secret_file is not None:
            _key(one.secret_file)
        return ask_options(one.url, one.authority, self.timeout_s, {})

    def _message(self, parcel: Parcel) -> dict[str, Any]:
        reading, study = parcel.reading, parcel.study
        found: dict[str, Any] = {
            "type": "study.urgent",
            "timestamp": when(parcel),
            "data": {
                "bundle": reading.bundle,
                "bundle_digest": reading.bundle_digest,
                "score": reading.score,
                "p_value": reading.p_value,
                "flagged": reading.flagged,
                "threshold": reading.threshold,
                "false_alarm_rate": reading.false_alarm_rate,
                "images": len(reading.images),
                "study": study.id,
                "intended_use": "Research use, not a medical device",
            },
        }
        if url := link(parcel, self.public_url):
            found["data"]["url"] = url
        for name in self.destination.identifiers:
            found["data"][name] = getattr(study, name)
        return found


def signed(identity: str, body: bytes, secret_file: Path | None, at: float) -> dict[str, str]:
    """The headers that say which message it is, when it was sent, and by whom."""
    headers = {"webhook-id": f"msg_{identity}", "webhook-timestamp": str(int(at))}
    if secret_file is not None:
        told = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        mac = hmac.new(_key(secret_file), told, hashlib.sha256).digest()
        headers["webhook-signature"] = f"v1,{base64.b64encode(mac).decode()}"
    return headers


def _key(path: Path) -> bytes:
    text = secret_in(path)
    try:
        key = (
            base64.b64decode(text[len(SECRET) :], validate=True) if text.startswith(SECRET) else text.encode()
        )
    except binascii.Error:
        raise Away(f"{path}: after {SECRET} should come base64") from None
    if len(key) < SHORTEST_SECRET:
        raise Away(f"{path}: a secret of fewer than {SHORTEST_SECRET} bytes is guessed; take a longer one")
    return key
