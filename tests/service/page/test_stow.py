"""STOW-RS: studies come in over HTTP, part by part, from machines that have a token."""

from __future__ import annotations

import resource
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from xml.etree import ElementTree

import numpy as np
import pydicom
import pytest
from dicomweb_client.api import DICOMwebClient
from fastapi.testclient import TestClient
from made_page import Page, made_page
from made_study import header
from pydicom.uid import DeflatedExplicitVRLittleEndian, DigitalXRayImageStorageForPresentation, generate_uid
from sqlalchemy import select
from test_serve import running

from secondread.service.page.stow import senders
from secondread.service.store.tables import Audit, Instance, Refusal, Study

PATH = "/dicom-web/studies"
BOUNDARY = "a-boundary"
FORM = f'multipart/related; type="application/dicom"; boundary={BOUNDARY}'
STUDY = "1.2.3.1"


def film(study: str = STUDY, uid: str | None = None) -> pydicom.Dataset:
    made = header(DigitalXRayImageStorageForPresentation, "DX", np.zeros((8, 8), np.uint16))
    made.StudyInstanceUID, made.SeriesInstanceUID = study, f"{study}.1"
    made.SOPInstanceUID = made.file_meta.MediaStorageSOPInstanceUID = uid or generate_uid()
    return made


def as_file(made: pydicom.Dataset) -> bytes:
    stream = BytesIO()
    pydicom.dcmwrite(stream, made, enforce_file_format=True)
    return stream.getvalue()


def body(*files: bytes, kind: str = "application/dicom") -> bytes:
    parts = [f"--{BOUNDARY}\r\nContent-Type: {kind}\r\n\r\n".encode() + file + b"\r\n" for file in files]
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


@dataclass
class Door:
    page: Page
    client: TestClient
    token: str

    def send(self, content: object, path: str = PATH, **headers: str) -> tuple[int, dict]:
        named = {"authorization": f"Bearer {self.token}", "content-type": FORM}
        named |= {name.replace("_", "-"): value for name, value in headers.items()}
        answer = self.client.post(path, content=content, headers=named)
        is_json = answer.headers["content-type"] == "application/dicom+json"
        return answer.status_code, answer.json() if is_json else {"text": answer.text}

    def kept(self) -> set[str]:
        with self.page.database.read() as session:
            return set(session.scalars(select(Instance.sop_instance_uid)))


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    folder = tmp_path_factory.mktemp("stow")
    token = senders.add(folder / "senders.txt", "ct-1")
    page = made_page(folder, senders_file=str(folder / "senders.txt"), port=0)
    page.app.state.settings = page.settings.model_copy(
        update={"receive": page.settings.receive.model_copy(update={"largest_gb": 0.01, "free_gb": 0.0})}
    )
    yield Door(page, page.client(), token)
    page.database.close()


def uids(answer: dict, sequence: str) -> list[str]:
    return [item["00081155"]["Value"][0] for item in answer.get(sequence, {"Value": []})["Value"]]


def reasons(answer: dict, sequence: str) -> list[int]:
    return [item["00081197"]["Value"][0] for item in answer[sequence]["Value"]]


def test_what_is_stored_is_kept_and_told(door: Door) -> None:
    films = [film(), film()]
    status, answer = door.send(body(*map(as_file, films)))
    assert status == 200
    sent = [one.SOPInstanceUID for one in films]
    assert uids(answer, "00081199") == sent
    assert "00081198" not in answer
    assert set(sent) <= door.kept()
    with door.page.database.read() as session:
        study = session.scalars(select(Study).where(Study.study_uid == STUDY)).one()
        assert study.instances >= 2
        row = session.scalars(select(Audit).order_by(Audit.id.desc()).limit(1)).one()
        assert (row.person, row.action, row.study_uid) == ("[sender ct-1]", "received", STUDY)
        assert row.detail == "2 instances kept, 0 refused"
    assert door.send(body(*map(as_file, films)))[0] == 200, "again is no harm"


def test_what_is_refused_is_told_beside_what_is_kept(door: Door) -> None:
    good, foreign = film("1.2.3.7"), film("1.2.3.8")
    status, answer = door.send(body(as_file(good), b"no DICOM", as_file(foreign)), f"{PATH}/1.2.3.7")
    assert status == 202
    assert uids(answer, "00081199") == [good.SOPInstanceUID]
    assert uids(answer, "00081198") == [foreign.SOPInstanceUID]
    assert reasons(answer, "00081198") == [0xA900]
    assert reasons(answer, "0008119A") == [0xC000]
    assert foreign.SOPInstanceUID not in door.kept()
    before = counted(door)
    assert door.send(body(as_file(foreign)), f"{PATH}/1.2.3.7")[0] == 409
    assert counted(door) - before == Counter({("instance refused", "A900"): 1})


def counted(door: Door) -> Counter[tuple[str, str]]:
    with door.page.database.read() as session:
        return Counter({(one.what, one.status): one.count for one in session.scalars(select(Refusal))})


def test_the_answer_is_xml_where_it_is_asked_for(door: Door) -> None:
    status, answer = door.send(body(as_file(film()), b"no"), accept="application/dicom+xml")
    assert status == 202
    root = ElementTree.fromstring(answer["text"])
    named = {one.get("keyword") for one in root.iter() if one.get("keyword")}
    assert {"ReferencedSOPSequence", "ReferencedSOPInstanceUID", "OtherFailuresSequence"} <= named
    assert door.send(body(as_file(film())), accept="text/html")[0] == 406


def test_only_a_sender_s_token_opens_the_door(door: Door) -> None:
    before = door.kept()
    content = body(as_file(film()))
    assert door.send(content, authorization="Bearer wrong")[0] == 401
    assert door.send(content, authorization=f"Basic {door.token}")[0] == 401
    browser = door.page.logged_in("administrator")
    answer = browser.client.post(
        PATH, content=content, headers={"content-type": FORM, "x-csrf-token": browser.csrf}
    )
    assert answer.status_code == 401, "a cookie is no token"
    assert answer.headers["www-authenticate"] == "Bearer"
    assert door.kept() == before
    answer = door.client.get("/account", headers={"authorization": f"Bearer {door.token}"})
    assert answer.status_code == 401, "a token is no login"


@pytest.mark.parametrize(
    ("content", "headers", "status"),
    [
        (b"", {"content_type": "application/dicom"}, 415),
        (b"", {"content_type": 'multipart/related; type="application/dicom+json"; boundary=x'}, 415),
        (b"", {"content_type": "multipart/related"}, 400),
        (b"", {"content_type": f"multipart/related; boundary={'x' * 5000}"}, 400),
        (b"nothing of the kind", {}, 400),
        (body(b"x")[:-8], {}, 400),
        (body(b"x", kind="image/jpeg"), {}, 409),
        (body(), {}, 409),
        (b"x", {"content_encoding": "gzip"}, 415),
    ],
)
def test_what_is_no_upload_is_refused(
    door: Door, content: bytes, headers: dict[str, str], status: int
) -> None:
    assert door.send(content, **headers)[0] == status


def test_a_part_that_is_too_large_is_passed_over(door: Door) -> None:
    good = film()
    status, answer = door.send(body(bytes(10_100_000), as_file(good)))
    assert status == 202
    assert reasons(answer, "0008119A") == [0xA700]
    assert uids(answer, "00081199") == [good.SOPInstanceUID]
    assert door.send(body(bytes(10_100_000)))[0] == 503
    assert list((door.page.settings.spool / "incoming").iterdir()) == []


def test_a_deflated_header_that_grows_without_end_is_refused(door: Door) -> None:
    """A file of a few megabytes whose header would be a gigabyte."""
    made = film()
    made.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    plain = as_file(made)
    start = (
        132
        + 12
        + pydicom.dcmread(BytesIO(plain), stop_before_pixels=True).file_meta.FileMetaInformationGroupLength
    )
    squeeze = zlib.compressobj(1, zlib.DEFLATED, -15)
    text = b"\x08\x00\x70\x10UT\x00\x00" + (1_000_000_000).to_bytes(4, "little")
    first = squeeze.compress(text) + squeeze.flush(zlib.Z_FULL_FLUSH)
    block = squeeze.compress(bytes(4_000_000)) + squeeze.flush(zlib.Z_FULL_FLUSH)
    content = plain[:start] + first + 250 * block + squeeze.flush()
    assert len(content) < 0.01 * 1e9
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    status, answer = door.send(body(content))
    assert status == 409
    assert reasons(answer, "0008119A") == [0xC000]
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000, "kilobytes"


def test_a_dicomweb_client_stores_over_a_socket(door: Door) -> None:
    sent = film("1.2.3.9")
    with running(door.page.settings) as port:
        client = DICOMwebClient(
            f"http://127.0.0.1:{port}/dicom-web", headers={"Authorization": f"Bearer {door.token}"}
        )
        answer = client.store_instances([sent])
    assert [item.ReferencedSOPInstanceUID for item in answer.ReferencedSOPSequence] == [sent.SOPInstanceUID]
    assert sent.SOPInstanceUID in door.kept()
