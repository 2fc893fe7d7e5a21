"""The page's process on a socket of its own: TLS, slow clients, a graceful stop."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from made_page import made_page
from sqlalchemy import select

from secondread.errors import UserError
from secondread.service.page.certificate import Certificate
from secondread.service.page.guards.patience import HEAD_S, Patient
from secondread.service.page.serve import run_page
from secondread.service.settings.service import ServiceSettings
from secondread.service.store.tables import Alarm

DAYS = 90


def write_certificate(folder: Path, days: int = DAYS) -> tuple[Path, Path]:
    """One for 127.0.0.1 that signs itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    end = datetime.now(UTC) + timedelta(days=days)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(end - timedelta(days=DAYS + 1))
        .not_valid_after(end)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "page.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "page.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return folder / "page.pem", folder / "page.key"


@contextmanager
def running(settings: ServiceSettings) -> Iterator[int]:
    """The port of a page that answers; at the end it is told to stop, and does."""
    stop, ports = threading.Event(), list[int]()
    listens = threading.Event()

    def tell(port: int) -> None:
        ports.append(port)
        listens.set()

    thread = threading.Thread(target=run_page, args=(settings, stop), kwargs={"listens": tell})
    thread.start()
    assert listens.wait(30)
    try:
        yield ports[0]
    finally:
        stop.set()
        thread.join(30)
    assert not thread.is_alive()


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, Path]]:
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = write_certificate(folder, 10)
    page = made_page(folder, port=0, tls={"certificate": str(certificate), "key": str(key)})
    with running(page.settings) as port:
        yield port, folder
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with page.database.read() as session:
                alarms = session.scalars(select(Alarm)).all()
            if alarms:
                break
            time.sleep(0.05)
    assert [alarm.kind for alarm in alarms] == ["certificate"], "it ends in ten days"
    page.database.close()


def trusting(folder: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(folder / "page.pem"))


def test_under_tls_cookies_are_secure_and_browsers_are_told_to_stay(tls: tuple[int, Path]) -> None:
    port, folder = tls
    answer = httpx.get(f"https://127.0.0.1:{port}/login", verify=trusting(folder))
    assert answer.status_code == 200
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("__Host-secondread-form=")
    assert cookie.endswith("; Path=/; Max-Age=3600; HttpOnly; SameSite=Strict; Secure")
    assert answer.headers["strict-transport-security"] == "max-age=31536000"
    assert "server" not in answer.headers


def test_old_tls_is_refused(tls: tuple[int, Path]) -> None:
    port, folder = tls
    old = trusting(folder)
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    with (
        socket.create_connection(("127.0.0.1", port)) as plain,
        pytest.raises((ssl.SSLError, OSError)),
        old.wrap_socket(plain, server_hostname="127.0.0.1"),
    ):
        pass


def test_a_renewed_certificate_is_taken_without_a_restart(tmp_path: Path) -> None:
    page = made_page(tmp_path)
    certificate = Certificate(*write_certificate(tmp_path, 10), None)
    certificate.look(page.database)
    first = certificate.ends
    write_certificate(tmp_path, 60)
    certificate._looked -= 3600
    certificate._changed -= 1  # of a file system that counts whole seconds
    certificate.look(page.database)
    assert certificate.ends - first > timedelta(days=49)
    with page.database.read() as session:
        assert [alarm.closed is not None for alarm in session.scalars(select(Alarm))] == [True]
    page.database.close()


def test_a_head_that_comes_too_slowly_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Patient, "head_s", 0.4)
    page = made_page(tmp_path, port=0)
    with running(page.settings) as port, socket.create_connection(("127.0.0.1", port)) as slow:
        begun = time.monotonic()
        slow.settimeout(5)
        slow.sendall(b"GET /login HTTP/1.1\r\nHost: 127.0.0.1\r\n")
        with contextlib.suppress(OSError):
            while time.monotonic() - begun < HEAD_S:
                slow.sendall(b"X: y\r\n")
                time.sleep(0.05)
        assert time.monotonic() - begun < HEAD_S / 2
        assert httpx.get(f"http://127.0.0.1:{port}/login").status_code == 200
    page.database.close()


@pytest.mark.parametrize(
    ("page", "said"),
    [
        ({"address": "10.0.0.5"}, "give tls a certificate and key, or say behind_proxy"),
        ({"address": "0.0.0.0", "behind_proxy": True}, "behind_proxy needs the public_url"),
        (
            {"address": "0.0.0.0", "tls": {"certificate": "a", "key": "b"}},
            "needs the public_url or the hosts",
        ),
        ({"tls": {"certificate": "a"}}, "tls needs a certificate and its key"),
        ({"public_url": "worklist.example"}, "public_url is https://HOST"),
    ],
)
def test_what_would_lie_open_is_refused_in_one_line(
    tmp_path: Path, page: dict[str, object], said: str
) -> None:
    config = tmp_path / "service.yaml"
    written = {"spool": "spool", "bundles": [{"bundle": "b", "name": "chest"}], "page": page}
    config.write_text(str(written).replace("True", "true"))
    with pytest.raises(UserError, match=said) as error:
        ServiceSettings.load(config)
    assert "\n" not in str(error.value)


def test_a_port_that_is_taken_and_a_certificate_that_is_none_are_told(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        page = made_page(tmp_path, port=taken.getsockname()[1])
        with pytest.raises(UserError, match=r"page\.address 127\.0\.0\.1, port \d+: cannot listen there"):
            run_page(page.settings, threading.Event())
    with pytest.raises(UserError, match="no certificate with its key"):
        Certificate(tmp_path / "no.pem", tmp_path / "no.key", None)
    page.database.close()
