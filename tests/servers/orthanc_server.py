"""A real PACS for tests: Orthanc, in a network of its own.

Debian's Orthanc listens on every address of its network. Here that network is a new one with nothing but
loopback, and the only ways in are two sockets that listen on this machine's loopback (`own_network.py`).
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from own_network import open_door

OWN_NETWORK = Path(__file__).with_name("own_network.py")
DICOMWEB = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
HTTP, DICOM, OUT = 8042, 4242, 11112
"""Ports in the server's own network."""
SECONDS_TO_START = 30.0
UNSHARE = (["unshare", "--net"], ["unshare", "--map-root-user", "--net"])
"""As root, and as anybody where the system lets users have namespaces."""


def without_network() -> list[str] | None:
    """The beginning of a command line that has a network of its own, or none where the system allows none."""
    for command in UNSHARE:
        if (
            shutil.which(command[0])
            and subprocess.run([*command, "true"], capture_output=True).returncode == 0
        ):
            return command
    return None


def missing() -> str | None:
    """Why no Orthanc can be started here."""
    if shutil.which("Orthanc") is None or not DICOMWEB.is_file():
        return "Orthanc with its DICOMweb plugin is not installed: run tests/servers/install.sh as root"
    if without_network() is None:
        return (
            "Orthanc listens on all addresses, and this system allows no network of its own (unshare --net)"
        )
    return None


class OrthancServer:
    """Orthanc with an empty archive in a folder, from entering until leaving.

    `http_port` and `dicom_port` are its ports on 127.0.0.1, `title` is its application entity title.
    """

    title = "ORTHANC"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "orthanc.log"
        self._process: subprocess.Popen[bytes] | None = None
        self.http_port = self.dicom_port = 0
        self._way_out = Path(tempfile.mkdtemp()) / "out"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http_port}"

    def __enter__(self) -> OrthancServer:
        configuration = self.folder / "orthanc.json"
        configuration.write_text(json.dumps(self._configuration()), encoding="utf-8")
        beginning = without_network()
        assert beginning is not None
        with socket.create_server(("127.0.0.1", 0)) as http, socket.create_server(("127.0.0.1", 0)) as dicom:
            self.http_port, self.dicom_port = http.getsockname()[1], dicom.getsockname()[1]
            doors = {http.fileno(): HTTP, dicom.fileno(): DICOM}
            command = [
                *beginning, sys.executable, "-I", "-S", str(OWN_NETWORK),
                *(f"{descriptor}:{port}" for descriptor, port in doors.items()), f"{OUT}>{self._way_out}",
                "--", "Orthanc", str(configuration),
            ]  # fmt: skip
            with self.log.open("wb") as log:
                self._process = subprocess.Popen(
                    command, stdin=subprocess.PIPE, stdout=log, stderr=log, pass_fds=list(doors)
                )
        try:
            self._wait()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @contextmanager
    def knowing(self, title: str, port: int) -> Iterator[None]:
        """Within the block it may send to an application entity that listens on a port of this machine."""
        address = f"{self.url}/modalities/{title}"
        entity = json.dumps([title, "127.0.0.1", OUT]).encode()
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(self._way_out))
            listening.listen()
            threading.Thread(target=open_door, args=(listening, port), daemon=True).start()
            try:
                urllib.request.urlopen(urllib.request.Request(address, entity, method="PUT"), timeout=30)
                yield
            finally:
                listening.shutdown(socket.SHUT_RDWR)
                self._way_out.unlink()
                urllib.request.urlopen(urllib.request.Request(address, method="DELETE"), timeout=30)

    def stop(self) -> None:
        """Ends the server at once; its archive is not needed any more."""
        shutil.rmtree(self._way_out.parent, ignore_errors=True)
        if self._process is not None:
            self._process.communicate()
            self._process = None

    def _wait(self) -> None:
        assert self._process is not None
        end = time.monotonic() + SECONDS_TO_START
        while time.monotonic() < end and self._process.poll() is None:
            try:
                with urllib.request.urlopen(f"{self.url}/system", timeout=SECONDS_TO_START):
                    return
            except OSError:
                time.sleep(0.03)
        raise RuntimeError(f"Orthanc did not start:\n{self.log.read_text(errors='replace')[-2000:]}")

    def _configuration(self) -> dict[str, object]:
        return {
            "Name": "tests",
            "StorageDirectory": str(self.folder),
            "IndexDirectory": str(self.folder),
            "HttpPort": HTTP,
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False,
            "DicomPort": DICOM,
            "DicomAet": self.title,
            "DicomAlwaysAllowEcho": True,
            "DicomAlwaysAllowStore": True,
            "DicomAlwaysAllowGet": True,
            "DicomAlwaysAllowFind": True,
            "DicomAlwaysAllowMove": True,
            "LoadPrivateDictionary": False,
            "Plugins": [str(DICOMWEB)],
            "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
        }
