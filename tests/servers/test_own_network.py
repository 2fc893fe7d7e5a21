import os
import socket
import subprocess
import sys
from pathlib import Path

import orthanc_server
import pytest

ECHO = """
import socket, sys
server = socket.create_server(("", int(sys.argv[1])))
print("listening", flush=True)
while True:
    caller, _ = server.accept()
    caller.sendall(caller.recv(100))
    caller.close()
"""
"""Listens on all addresses, as Debian's Orthanc does."""


@pytest.fixture
def beginning() -> list[str]:
    found = orthanc_server.without_network()
    if found is None:
        pytest.skip("this system allows no network of its own (unshare --net)")
    return found


def test_what_listens_on_all_addresses_is_reached_by_its_door_alone_and_ends_with_its_starter(
    beginning: list[str], tmp_path: Path
) -> None:
    (tmp_path / "echo.py").write_text(ECHO)
    with socket.create_server(("127.0.0.1", 0)) as free:
        inside = free.getsockname()[1]
    with socket.create_server(("127.0.0.1", 0)) as door:
        process = subprocess.Popen(
            [
                *beginning, sys.executable, "-I", "-S", str(orthanc_server.OWN_NETWORK),
                f"{door.fileno()}:{inside}", "--",
                sys.executable, "-I", "-S", str(tmp_path / "echo.py"), str(inside),
            ],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=[door.fileno()],
        )  # fmt: skip
        port = door.getsockname()[1]
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        assert process.stdout.readline() == b"listening\n"
        for said in (b"once", b"again"):
            with socket.create_connection(("127.0.0.1", port), timeout=20) as caller:
                caller.sendall(said)
                caller.shutdown(socket.SHUT_WR)
                assert caller.recv(100) == said
        with pytest.raises(OSError, match=r"refused|reachable"):
            socket.create_connection(("127.0.0.1", inside), timeout=20)
    finally:
        process.stdin.close()  # as the system does when the starter ends, however it ends
    with process:
        assert process.stdout.read() == b"", "nobody holds the output any more: what ran inside has ended too"


def test_installing_without_root_says_one_line_and_fails_nothing(tmp_path: Path) -> None:
    """The packages are looked for by a name that Debian does not have."""
    script = (Path(__file__).parent / "install.sh").read_text()
    changed = tmp_path / "install.sh"
    changed.write_text(script.replace("orthanc-dicomweb", "no-such-package").replace("id -u", "echo 1000"))
    ran = subprocess.run(["sh", str(changed)], capture_output=True, text=True, env=dict(os.environ))
    assert ran.returncode == 0
    assert ran.stdout == ""
    assert len(ran.stderr.splitlines()) == 1
    assert "no-such-package" in ran.stderr
