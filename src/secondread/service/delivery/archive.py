"""C-STORE (PS3.4 B): the objects of many readings over one association."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pydicom
from pydicom import Dataset
from pydicom.filereader import read_file_meta_info
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, build_context
from pynetdicom.association import Association

from secondread.service.delivery.outcome import (
    SUCCESS,
    Away,
    Later,
    Refused,
    is_for_later,
    is_stored,
    meaning,
)
from secondread.service.delivery.parcel import Item, Parcel
from secondread.service.delivery.reach import check_reach, context_of
from secondread.service.settings.sending import DicomDestination
from secondread.terminal.events import log_event

VERIFICATION = "1.2.840.10008.1.1"
SLOWEST = 1 << 18
"""Bytes per second of a connection that is still waited for."""
_UNREADABLE = (OSError, AttributeError, KeyError, ValueError, TypeError, NotImplementedError, EOFError)


@dataclass
class Archive:
    """A storage SCP. Only contexts of what is sent are proposed; an association is kept while there is work
    that it has contexts for."""

    destination: DicomDestination
    title: str
    timeout_s: float
    _association: Association | None = None
    _proposed: frozenset[tuple[str, str]] = field(default_factory=frozenset)

    def deliver(self, parcel: Parcel, done: set[str]) -> None:
        items = parcel.of_kinds(self.destination.objects, done)
        contexts = {item.uid: (item.sop_class, _syntax(item)) for item in items}
        later: list[str] = []
        refused: list[str] = []
        for item in items:
            association = self._associated(frozenset(contexts.values()))
            if all(one.abstract_syntax != item.sop_class for one in association.accepted_contexts):
                refused.append(f"{item.kind or 'object'}: the archive takes no such object")
                continue
            status = self._store(association, item)
            if is_stored(status):
                done.add(item.uid)
                if status != SUCCESS:
                    log_event("stored with a warning", to=self.destination.name, status=f"0x{status:04X}")
            else:
                (later if is_for_later(status) else refused).append(
                    f"{item.kind or 'object'}: {meaning(status)}"
                )
        if later:
            raise Later(_summed(later, len(items)))
        if refused:
            raise Refused(_summed(refused, len(items)))

    def rest(self) -> None:
        association, self._association = self._association, None
        if association is not None and association.is_established:
            association.release()

    def ask(self) -> str:
        association = self._associate(frozenset({(VERIFICATION, str(ImplicitVRLittleEndian))}))
        try:
            status = association.send_c_echo()
        finally:
            if association.is_established:
                association.release()
        if "Status" not in status:
            raise Away("no answer to C-ECHO")
        if status.Status != SUCCESS:
            raise Away(f"C-ECHO: {meaning(status.Status)}")
        return "C-ECHO"

    def _store(self, association: Association, item: Item) -> int:
        try:
            read = pydicom.dcmread(item.path)
        except _UNREADABLE as error:
            raise Refused(_gone(error)) from None
        association.dimse_timeout = self.timeout_s + item.path.stat().st_size / SLOWEST
        try:
            answer: Dataset = association.send_c_store(read)
        except RuntimeError:  # it ended between two objects
            answer = Dataset()
        except ValueError:
            raise Refused(
                f"{item.kind or 'object'}: not to be had in a form that the archive takes"
            ) from None
        if "Status" not in answer:
            self.rest()
            raise Later("the connection broke, or no answer came, while an object was sent")
        return int(answer.Status)

    def _associated(self, contexts: frozenset[tuple[str, str]]) -> Association:
        """An association that has these contexts."""
        if self._association is not None:
            if self._association.is_established and contexts <= self._proposed:
                return self._association
            self.rest()
        together = contexts | self._proposed
        self._proposed = together if len(together) <= 128 else contexts
        self._association = self._associate(self._proposed)
        return self._association

    def _associate(self, contexts: frozenset[tuple[str, str]]) -> Association:
        """Raises Away with the reason, Refused where none of the contexts is accepted."""
        entity = AE(self.title)
        entity.connection_timeout = entity.acse_timeout = entity.network_timeout = self.timeout_s
        one = self.destination
        tls = context_of(one.tls)
        secure: dict[str, Any] = {} if tls is None else {"tls_args": (tls, one.address)}
        association = entity.associate(
            one.address, one.port, ae_title=one.title,
            contexts=[build_context(name, _syntaxes(syntax)) for name, syntax in sorted(contexts)],
            **secure,
        )  # fmt: skip
        if association.is_established:
            return association
        said = association.acceptor.primitive
        if association.is_rejected and said is not None:
            raise Away(f"{one.title} refuses the association: {said.reason_str.lower()}")
        if association.rejected_contexts and not association.accepted_contexts:
            raise Refused(f"{one.title} takes no such objects")
        check_reach(one.address, one.port, one.tls, self.timeout_s)
        raise Away(f"{one.address}:{one.port}: no answer to the request for an association")


def _syntax(item: Item) -> str:
    try:
        return str(read_file_meta_info(item.path).TransferSyntaxUID)
    except _UNREADABLE as error:
        raise Refused(_gone(error)) from None


def _syntaxes(syntax: str) -> list[str]:
    """What is proposed for an object: its own, and for one that is not compressed the one that every archive
    has to know (PS3.5 10.1)."""
    found = [syntax]
    if not UID(syntax).is_compressed and UID(syntax).is_little_endian:
        found += [ExplicitVRLittleEndian, ImplicitVRLittleEndian]
    return list(dict.fromkeys(str(one) for one in found))


def _gone(error: Exception) -> str:
    why = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
    return f"a result cannot be read in the spool ({why}); have the study read again"


def _summed(reasons: list[str], of: int) -> str:
    return f"{len(reasons)} of {of} objects not taken: {'; '.join(dict.fromkeys(reasons))}"
