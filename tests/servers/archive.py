"""A PACS seen from outside: what a modality, a workstation and a web viewer ask of it."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pydicom
from pydicom import Dataset
from pydicom.uid import ExplicitVRLittleEndian

if TYPE_CHECKING:
    from dicomweb_client import DICOMwebClient
    from orthanc_server import OrthancServer
    from pynetdicom.association import Association

FRAMES = ("application/octet-stream",)
"""How Orthanc 1.10 gives frames; it refuses what dicomweb-client asks for by itself."""


@dataclass
class Archive:
    """The clients of one server. What is refused raises, with the server's words."""

    server: OrthancServer

    @cached_property
    def web(self) -> DICOMwebClient:
        from dicomweb_client import DICOMwebClient

        return DICOMwebClient(f"{self.server.url}/dicom-web")

    def echo(self) -> int:
        """C-ECHO; 0 is success."""
        from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

        with self._associated([(Verification, ExplicitVRLittleEndian)]) as association:
            return int(association.send_c_echo().Status)

    def send(self, files: Iterable[Path]) -> dict[Path, int]:
        """C-STORE of every file as it is; the status of each, 0 is success.

        Where an answer is lost a file is sent once more, as archives do: pynetdicom's own thread may take an
        answer from under the call that waits for it ("Received unexpected C-STORE service message").
        """
        read = {file: pydicom.dcmread(file) for file in files}
        contexts = {(str(one.SOPClassUID), str(one.file_meta.TransferSyntaxUID)) for one in read.values()}
        found: dict[Path, int] = {}
        for attempt in range(2):
            with self._associated(contexts) as association:
                for file in [file for file in read if file not in found]:
                    answer = association.send_c_store(read[file])
                    if "Status" not in answer and not attempt:
                        break
                    found[file] = int(answer.Status)
            if len(found) == len(read):
                break
        return found

    def post(self, files: Iterable[Path]) -> list[str]:
        """STOW-RS; the UIDs of the instances that the server has stored by it."""
        answer = self.web.store_instances([pydicom.dcmread(file) for file in files])
        assert not answer.get("FailedSOPSequence"), answer
        return [str(item.ReferencedSOPInstanceUID) for item in answer.ReferencedSOPSequence]

    def get(self, wanted: Dataset) -> Dataset:
        """C-GET of the instance that a data set names."""
        from pynetdicom import build_role, evt
        from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelGet  # type: ignore[attr-defined]

        received: list[Dataset] = []

        def keep(event: evt.Event) -> int:
            received.append(event.dataset)
            return 0

        asked = Dataset()
        asked.QueryRetrieveLevel = "IMAGE"
        for name in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
            setattr(asked, name, wanted[name].value)
        sop_class = str(wanted.SOPClassUID)
        contexts = [(StudyRootQueryRetrieveInformationModelGet, ExplicitVRLittleEndian)]
        contexts.append((sop_class, ExplicitVRLittleEndian))
        with self._associated(
            contexts, ext_neg=[build_role(sop_class, scp_role=True)], evt_handlers=[(evt.EVT_C_STORE, keep)]
        ) as association:
            for status, _ in association.send_c_get(asked, StudyRootQueryRetrieveInformationModelGet):
                assert status.get("Status") in (0x0000, 0xFF00), status
        (found,) = received
        return found

    def fetch(self, study: str, series: str, instance: str) -> Dataset:
        """WADO-RS of one instance."""
        return self.web.retrieve_instance(study, series, instance)

    def instances(self, study: str) -> dict[str, str]:
        """QIDO-RS: the UIDs of a study's instances, and the SOP class of each."""
        found = self.web.search_for_instances(study, fields=["SOPClassUID"])
        return {one["00080018"]["Value"][0]: one["00080016"]["Value"][0] for one in found}

    def file_of(self, instance: str) -> bytes:
        """The bytes of the file that the archive holds, by Orthanc's own interface."""
        key = json.loads(self._asked("/tools/lookup", instance.encode()))[0]["ID"]
        return self._asked(f"/instances/{key}/file")

    def picture_of(self, instance: str) -> bytes:
        """The picture that Orthanc's page shows of an instance, as PNG."""
        key = json.loads(self._asked("/tools/lookup", instance.encode()))[0]["ID"]
        return self._asked(f"/instances/{key}/preview")

    def _asked(self, path: str, body: bytes | None = None) -> bytes:
        with urllib.request.urlopen(f"{self.server.url}{path}", body, timeout=30) as answer:
            return bytes(answer.read())

    @contextmanager
    def _associated(self, contexts: Iterable[tuple[str, str]], **options: Any) -> Iterator[Association]:
        from pynetdicom import AE

        entity = AE("SECONDREAD")
        for name, syntax in contexts:
            entity.add_requested_context(name, syntax)
        association = entity.associate(
            "127.0.0.1", self.server.dicom_port, ae_title=self.server.title, **options
        )
        assert association.is_established, f"{self.server.title} refused the association"
        refused = [context.abstract_syntax for context in association.rejected_contexts]
        assert not refused, f"{self.server.title} does not take {refused}"
        try:
            yield association
        finally:
            association.release()
