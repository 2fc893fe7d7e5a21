"""TLS by certificate files: who has none that is valid is refused, in one line."""

from __future__ import annotations

import logging
import os
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from intake_instances import film
from receiving import caller, receiving, refusal, send

from secondread.errors import UserError
from secondread.service.intake.certificates import ListenerCertificates
from secondread.service.settings.tls import TlsSettings, trusting

NOW = datetime.now(UTC)


class Authority:
    """Signs certificates into a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority")])
        self.file = self._write("authority", self._name, self._key, NOW + timedelta(days=30), ca=True)

    def sign(self, name: str, days: int) -> tuple[Path, Path]:
        """A certificate that ends in so many days, and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        key_file = self.folder / f"{name}.key"
        key_file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        return self._write(name, subject, key, NOW + timedelta(days=days)), key_file

    def _write(self, name: str, subject: x509.Name, key, until: datetime, *, ca: bool = False) -> Path:
        made = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW - timedelta(days=60))
            .not_valid_after(until)
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        path = self.folder / f"{name}.pem"
        path.write_bytes(made.public_bytes(serialization.Encoding.PEM))
        return path


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


def listening(authority: Authority, days: int = 30) -> TlsSettings:
    certificate, key = authority.sign(f"service{days}", days)
    return TlsSettings(certificate=certificate, key=key, authority=authority.file)


def spoken(authority: Authority, days: int | None) -> dict[str, object]:
    """How a sender speaks TLS, with a certificate of its own or without."""
    context = trusting(authority.file)
    context.check_hostname = False
    if days is not None:
        context.load_cert_chain(*authority.sign(f"sender{days}", days))
    return {"tls_args": (context, "localhost")}


def test_a_named_authority_is_asked_for_the_same_on_every_python(authority):
    context = trusting(authority.file)
    assert not context.verify_flags & ssl.VERIFY_X509_STRICT
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname


@pytest.mark.parametrize(
    ("days", "why"),
    [(-1, "the peer's certificate: certificate has expired"), (None, "peer did not return a certificate")],
)
def test_a_sender_without_a_valid_certificate_is_refused(days, why, authority, settings, caplog):
    caplog.set_level(logging.WARNING, "secondread")
    with receiving(settings, tls=listening(authority)) as receiver:
        for _ in range(2):
            assert not caller(receiver, **spoken(authority, days)).is_established
        assert send(receiver, film(), **spoken(authority, 30)) == [0]
    (line,) = [record for record in caplog.records if record.message == "TLS refused"]
    assert line.facts["why"] == why


def test_without_tls_nobody_is_let_in(authority, settings, caplog):
    with receiving(settings, tls=listening(authority)) as receiver:
        assert not caller(receiver).is_established


def test_beyond_the_limit_a_refusal_is_spoken_in_tls(authority, settings):
    with receiving(settings, tls=listening(authority), associations=1) as receiver:
        held = caller(receiver, **spoken(authority, 30))
        assert refusal(receiver, **spoken(authority, 30)) == (2, 3, 2)
        held.release()


def test_an_expired_certificate_of_its_own_is_said_until_it_is_replaced(authority, settings, caplog):
    caplog.set_level(logging.WARNING, "secondread")
    tls = listening(authority, -1)
    with receiving(settings, tls=tls) as receiver:
        assert not caller(receiver, **spoken(authority, 30)).is_established
        assert caplog.records[-1].facts["why"].startswith("the service's own certificate has expired")
        newer = listening(authority, 60)
        for old, new in ((tls.certificate, newer.certificate), (tls.key, newer.key)):
            new.replace(old)
            os.utime(old, ns=(1, 1))
        assert send(receiver, film(), **spoken(authority, 30)) == [0]


def test_a_certificate_that_cannot_be_used_names_its_file(authority, tmp_path):
    certificate, key = authority.sign("whole", 30)
    (tmp_path / "cut.pem").write_text("-----BEGIN CERTIFICATE-----\n")
    with pytest.raises(UserError, match=r"cut\.pem"):
        ListenerCertificates(TlsSettings(certificate=tmp_path / "cut.pem", key=key))
    with pytest.raises(UserError, match="both certificate and key"):
        ListenerCertificates(TlsSettings(certificate=certificate))
