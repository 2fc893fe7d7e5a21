"""What somebody wants to see of the worklist, as an address says it.

A search is for a patient, and a patient's name does not belong into an address, which browsers, proxies and
logs keep: it is sealed with a key that follows from the session's secret, so that it means something in this
session alone.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Self
from urllib.parse import urlencode

from cryptography.fernet import Fernet, InvalidToken

from secondread.service.page.language.languages import marked

VIEWS = {
    "read": marked("Read"),
    "waiting": marked("Waiting"),
    "trouble": marked("Not read"),
    "all": marked("All"),
}
STATES = {
    "read": ("read",),
    "waiting": ("receiving", "waiting", "reading"),
    "trouble": ("not read", "set aside"),
    "all": ("receiving", "waiting", "reading", "read", "not read", "set aside"),
}
"""The states that a view shows; what is erased is in none."""
ORDERS = {
    "rank": marked("Rank"),
    "received": marked("Received"),
    "date": marked("Study date"),
    "name": marked("Patient"),
    "patient": marked("Patient id"),
    "accession": marked("Accession"),
}
USUAL_ORDER = {"read": "rank", "waiting": "received", "trouble": "received", "all": "received"}
SINCE = {
    1: marked("24 hours"),
    7: marked("7 days"),
    30: marked("30 days"),
    365: marked("a year"),
    0: marked("any time"),
}
VERDICTS = {
    "": marked("any"),
    "none": marked("no verdict"),
    "agree": marked("agreed"),
    "disagree": marked("disagreed"),
}
FLAGS = {"": marked("any"), "yes": marked("flagged"), "no": marked("not flagged")}
LONGEST = 100
"""Characters of a search."""


@dataclass(frozen=True)
class Asked:
    """Which studies, in which order, from where on.

    since    received within so many days; 0 = ever
    text     a search; see `find`
    after, before   a place in the order (`Place`): the page that follows it, or the one before
    """

    view: str = "read"
    since: int = 7
    flagged: str = ""
    verdict: str = ""
    modality: str = ""
    bundle: str = ""
    order: str = ""
    reverse: bool = False
    text: str = ""
    after: str = ""
    before: str = ""

    @classmethod
    def of(cls, query: Mapping[str, str], secret: str) -> Self:
        """What an address says; what it says wrongly counts as not said."""
        since = query.get("since", "7")
        return cls(
            view=_one_of(query.get("view"), VIEWS, "read"),
            since=int(since) if since.isascii() and since.isdigit() and int(since[:9]) in SINCE else 7,
            flagged=_one_of(query.get("flagged"), FLAGS, ""),
            verdict=_one_of(query.get("verdict"), VERDICTS, ""),
            modality=query.get("modality", "")[:LONGEST],
            bundle=query.get("bundle", "")[:LONGEST],
            order=_one_of(query.get("order"), ORDERS, ""),
            reverse=query.get("reverse") == "1",
            text=opened(query.get("q", ""), secret),
            after=query.get("after", "")[:1000],
            before=query.get("before", "")[:1000],
        )

    @property
    def sorted_by(self) -> str:
        return self.order or USUAL_ORDER[self.view]

    def address(self, secret: str, **changed: Any) -> str:
        """The address of the same with something changed; the first page unless a place is among it."""
        wanted = replace(self, **{"after": "", "before": "", **changed})
        usual = asdict(Asked())
        said = {name: value for name, value in asdict(wanted).items() if value != usual[name]}
        if text := said.pop("text", ""):
            said["q"] = sealed(text, secret)
        said = {name: "1" if value is True else value for name, value in said.items()}
        return f"/studies?{urlencode(said)}" if said else "/studies"


def _one_of(given: str | None, known: Mapping[str, str], otherwise: str) -> str:
    return given if given is not None and given in known else otherwise


def sealed(text: str, secret: str) -> str:
    return _box(secret).encrypt(text.encode()).decode() if text else ""


def opened(token: str, secret: str) -> str:
    """Empty for what was sealed in another session, or is none of ours."""
    if not token or len(token) > 2000:
        return ""
    try:
        return _box(secret).decrypt(token.encode("utf-8", "replace")).decode()
    except (InvalidToken, UnicodeDecodeError):
        return ""


def _box(secret: str) -> Fernet:
    key = hashlib.blake2b(b"secondread search", key=hashlib.sha256(secret.encode()).digest(), digest_size=32)
    return Fernet(base64.urlsafe_b64encode(key.digest()))


@dataclass(frozen=True)
class Place:
    """A row's place in an order: what it is sorted by, its id, and how many came before it.

    Values of an order are a number or a text; a patient's name among them is why it is sealed as well.
    """

    values: tuple[float | str, ...]
    id: int
    number: int

    def text(self, secret: str) -> str:
        return sealed(json.dumps([*self.values, self.id, self.number]), secret)

    @classmethod
    def of(cls, token: str, secret: str, width: int) -> Self | None:
        """None for what is no place in an order by so many values."""
        try:
            given = json.loads(opened(token, secret))
        except ValueError:
            return None
        if not isinstance(given, list) or len(given) != width + 2:
            return None
        return cls(tuple(given[:-2]), int(given[-2]), int(given[-1]))
