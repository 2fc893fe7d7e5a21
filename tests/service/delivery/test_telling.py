"""People and other systems hear of a reading by webhook, e-mail and HL7; only HL7 names the patient."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hl7
import pytest
import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword
from free_ports import free_port
from hl7apy.consts import VALIDATION_LEVEL
from hl7apy.parser import parse_message
from listeners import Ris, Web
from standardwebhooks import Webhook as Receiver
from standardwebhooks import WebhookVerificationError
from waiting import NAME, Waiting

from secondread.service.delivery.lane import NOT_TAKEN
from secondread.service.delivery.oru import escaped, person
from secondread.service.store.jobs import now
from secondread.service.store.tables import Instance

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
PATIENT = ("4711", "Jürgen", "J\\u00fcrgen", "19500102", "A~77")


def names_nobody(text: str) -> bool:
    return not any(one in text for one in PATIENT)


@contextmanager
def hooked(folder: Path, answers: list[int], **more: Any) -> Iterator[tuple[Waiting, Web]]:
    with Web(
        lambda _: (answers.pop(0) if len(answers) > 1 else answers[0], {"Retry-After": "0"}, b"thanks")
    ).listening() as web:
        (folder / "secret").write_text(f"{SECRET}\n")
        hook = {"name": "hook", "url": f"{web.url}/urgent", "secret_file": folder / "secret", **more}
        yield Waiting(folder, {"webhooks": [hook]}, public_url="https://reader.example/"), web


def test_a_webhook_is_signed_names_no_patient_and_is_the_same_when_sent_again(tmp_path: Path) -> None:
    with hooked(tmp_path, [503, 500, 200]) as (waiting, web):
        waiting.add()
        waiting.send_all()
    assert [one.headers["webhook-id"] for one in web.requests] == [web.requests[0].headers["webhook-id"]] * 3
    last = web.requests[-1]
    told = Receiver(SECRET).verify(last.body, last.headers)
    assert (told["type"], told["data"]["score"], told["data"]["flagged"]) == ("study.urgent", 1.25, True)
    assert told["data"]["url"] == "https://reader.example/studies/1"
    assert names_nobody(last.body.decode())
    assert not {"accession", "study_uid"} & told["data"].keys()
    with pytest.raises(WebhookVerificationError):
        Receiver(SECRET).verify(last.body.replace(b"1.25", b"0.25"), last.headers)
    assert waiting.states() == ["done"]


def test_a_webhook_names_the_study_where_the_configuration_says_so(tmp_path: Path) -> None:
    with hooked(tmp_path, [200], identifiers=["accession", "study_uid"]) as (waiting, web):
        waiting.add()
        waiting.add(flagged=False)
        waiting.send_all()
    (request,) = web.requests
    data = json.loads(request.body)["data"]
    assert data["accession"] == "A~77"
    assert data["study_uid"].startswith("1.2")


def test_a_webhook_that_refuses_the_message_is_not_asked_again(tmp_path: Path) -> None:
    with hooked(tmp_path, [410]) as (waiting, web):
        waiting.add()
        waiting.send_all()
    assert len(web.requests) == 1
    assert waiting.reasons() == ["HTTP 410 Gone"]
    assert waiting.alarms() == [(NOT_TAKEN, "hook", True)]


def test_a_secret_that_is_easily_guessed_signs_nothing(tmp_path: Path) -> None:
    with hooked(tmp_path, [200]) as (waiting, web):
        (tmp_path / "secret").write_text("hospital")
        waiting.add()
        with waiting.sending():
            waiting.until(lambda: "guessed" in waiting.told())
    assert web.requests == []


class Post:
    """What the mail server's handler hears. `refusals`: an answer for a recipient, once."""

    def __init__(self, refusals: dict[str, str]) -> None:
        self.refusals, self.letters = refusals, []

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:
        if said := self.refusals.pop(address, ""):
            return said
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self.letters.append((list(envelope.rcpt_tos), envelope.content.decode()))
        return "250 OK"


@contextmanager
def posted(folder: Path, refusals: dict[str, str] | None = None) -> Iterator[tuple[Waiting, Post]]:
    """A server that takes mail over TLS alone, from who knows the password."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    (folder / "password").write_text("correct horse")
    post, right = Post(refusals or {}), LoginPassword(b"me", b"correct horse")
    controller = Controller(
        post, hostname="127.0.0.1", port=free_port(), tls_context=context, require_starttls=True,
        auth_required=True, authenticator=lambda *given: AuthResult(success=given[4] == right, handled=False),
    )  # fmt: skip
    controller.start()
    try:
        mail = {
            "server": "127.0.0.1", "port": controller.port, "sender": "reader@hospital.example",
            "to": ["a@hospital.example", "b@hospital.example"], "starttls": True,
            "authority": folder / "ca.pem", "user": "me", "password_file": folder / "password",
        }  # fmt: skip
        yield Waiting(folder, {"mail": mail}, public_url="https://reader.example"), post
    finally:
        controller.stop()


def test_mail_goes_over_tls_to_everybody_without_the_patient(tmp_path: Path) -> None:
    with posted(tmp_path) as (waiting, post):
        waiting.add()
        waiting.add(flagged=False)
        waiting.send_all()
    ((to, letter),) = post.letters
    assert to == ["a@hospital.example", "b@hospital.example"]
    assert "Subject: Urgent study (chest)" in letter
    assert "https://reader.example/studies/1" in letter
    assert "Score: 1.25" in letter
    assert names_nobody(letter.partition("\n\n")[2])
    assert NAME not in letter


def test_who_could_not_get_a_mail_gets_it_later_and_the_others_once(tmp_path: Path) -> None:
    with posted(tmp_path, {"b@hospital.example": "451 4.3.2 Doe^Jane, later"}) as (waiting, post):
        waiting.add()
        waiting.send_all()
    assert [to for to, _ in post.letters] == [["a@hospital.example"], ["b@hospital.example"]]
    assert waiting.states() == ["done"]


def test_an_address_that_is_not_there_is_told_by_its_code(tmp_path: Path) -> None:
    with posted(tmp_path, {"b@hospital.example": "550 5.1.1 who is Doe^Jane"}) as (waiting, post):
        waiting.add()
        waiting.send_all()
    assert waiting.reasons() == ["1 of 2 addresses refused: SMTP 550 5.1.1"]
    assert len(post.letters) == 1


def test_a_wrong_password_keeps_the_mail_until_it_is_right(tmp_path: Path) -> None:
    with posted(tmp_path) as (waiting, post):
        (tmp_path / "password").write_text("wrong")
        waiting.add()
        with waiting.sending():
            waiting.until(lambda: "SMTP 535" in waiting.told())
            (tmp_path / "password").write_text("correct horse")
            waiting.until(lambda: waiting.states() == ["done"])
    assert len(post.letters) == 1


@contextmanager
def reported(folder: Path, *answers: str, **more: Any) -> Iterator[tuple[Waiting, Ris]]:
    with Ris(answers=list(answers)).listening() as ris:
        receiver = {
            "name": "ris", "address": "127.0.0.1", "port": ris.port, "application": "RIS",
            "facility": "A|B", "assigner": "H&", **more,
        }  # fmt: skip
        yield Waiting(folder, {"hl7": [receiver]}), ris


def test_hl7_says_patient_study_and_numbers_as_the_standard_has_them(tmp_path: Path) -> None:
    with reported(tmp_path, "AA") as (waiting, ris):
        waiting.add(2, flagged=False)
        waiting.send_all()
    assert ris.connections == 1
    raw, message = ris.raw[0].decode(), ris.messages[0]
    assert parse_message(raw, validation_level=VALIDATION_LEVEL.STRICT, find_groups=True).validate()
    header, patient, study = (message.segment(name) for name in ("MSH", "PID", "OBR"))
    assert [str(header[at]) for at in (5, 9, 11, 12, 18)] == [
        "RIS", "ORU^R01^ORU_R01", "P", "2.5.1", "UNICODE UTF-8",
    ]  # fmt: skip
    assert message.unescape(str(header[6])) == "A|B"
    assert message.unescape(str(patient[3])) == "P-4711^^^H&^PI"
    assert message.unescape(str(patient[5])) == "Dó|e^Jürgen^^^Dr.^^L"
    assert [str(patient[at]) for at in (7, 8)] == ["19500102", "M"]
    assert message.unescape(str(study[3])) == message.unescape(str(study[18])) == "A~77"
    assert [str(study[at]) for at in (7, 25)] == ["20240501", "R"]
    told = {str(one[3]).partition("^")[0]: str(one[5]) for one in message.segments("OBX")}
    assert told["study-score"] == "1.25"
    assert told["p-value"] == "0.00002", "HL7 knows no exponent"
    assert told["flag"] == "N^No^HL70136"
    assert told["110180"].startswith("1.2")
    assert {str(one[11]) for one in message.segments("OBX")} == {"R"}
    assert {len(str(one.segment("MSH")[10])) for one in ris.messages} == {20}
    assert len({str(one.segment("MSH")[10]) for one in ris.messages}) == 2


@pytest.mark.parametrize("first", ["AR", "AE 207", "AE 206", "-"])
def test_a_receiver_that_cannot_just_now_gets_the_same_message_again(tmp_path: Path, first: str) -> None:
    with reported(tmp_path, first, "AA") as (waiting, ris):
        waiting.add()
        waiting.send_all()
    assert ris.raw[0] == ris.raw[1]
    assert (len(ris.raw), waiting.states()) == (2, ["done"])


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("AE 204", "AE unknown key identifier"),
        ("AE", "AE"),
        ("AR 203", "AR unsupported version"),
    ],
)
def test_a_message_that_is_refused_is_set_aside_without_the_receivers_words(
    tmp_path: Path, answer: str, said: str
) -> None:
    with reported(tmp_path, answer) as (waiting, ris):
        waiting.add()
        waiting.send_all()
    assert waiting.reasons() == [f"acknowledged with {said}"]
    assert len(ris.raw) == 1


def test_a_name_that_the_character_set_cannot_write_is_not_sent_wrongly(tmp_path: Path) -> None:
    with reported(tmp_path, "AA", character_set="8859/1") as (waiting, ris):
        waiting.add()
        with waiting.database.write() as session:
            session.connection().exec_driver_sql("UPDATE study SET patient_name = '山田^太郎'")
        waiting.send_all()
    assert ris.raw == []
    assert "8859/1 cannot write" in waiting.reasons()[0]


def test_a_study_of_several_patients_goes_to_nobodys_record(tmp_path: Path) -> None:
    with reported(tmp_path, "AA") as (waiting, ris):
        waiting.add(2)
        with waiting.database.write() as session:
            session.add(
                Instance(
                    study_id=1, sop_instance_uid="1.2", sop_class_uid="1.3", series_uid="1.4", path="a",
                    size=1, digest="d", revision=1, received=now(), facts={"other_patient": "P-4712"},
                )
            )  # fmt: skip
        waiting.send_all()
    assert len(ris.raw) == 1
    assert waiting.states() == ["set aside", "done"]
    assert waiting.reasons()[0] == "its images name several patients, and a report would name one of them"


def test_names_in_three_scripts_and_text_with_separators_are_written_as_hl7_has_them() -> None:
    assert person("Yamada^Tarou=山田^太郎=やまだ^たろう").split("~") == [
        "Yamada^Tarou^^^^^L", "山田^太郎^^^^^L^I", "やまだ^たろう^^^^^L^P",
    ]  # fmt: skip
    assert person("") == ""
    for text in ("|^~\\&", "\\F\\", "a\\", "||"):
        assert hl7.parse("MSH|^~\\&|\r").unescape(escaped(text)) == text
    assert escaped("a\r\nMSH|") == "a MSH\\F\\"
