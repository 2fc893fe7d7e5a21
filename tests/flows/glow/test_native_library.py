"""The compiled library as a file, which needs no CPU that can run it."""

import shlex
import sys

from secondread.flows.glow.native import build


def test_a_damaged_library_is_built_again(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    write = "import sys; open(sys.argv[sys.argv.index('-o') + 1], 'wb').write(b'library' * 100)"
    monkeypatch.setenv("CXX", shlex.join([sys.executable, "-c", write]))
    library = build._library()
    monkeypatch.setenv("CXX", "false")
    assert build._library() == library
    data = library.read_bytes()
    library.write_bytes(data[:50] + b"\0" + data[51:])
    monkeypatch.setenv("CXX", shlex.join([sys.executable, "-c", write]))
    assert build._library().read_bytes() == data
