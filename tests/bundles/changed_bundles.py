"""Bundles as someone with ill will could write them: all sizes and digests are true."""

import hashlib
import json
import struct
from pathlib import Path
from typing import Any


def edit(bundle: Path, change) -> None:
    file = bundle / "bundle.json"
    document = json.loads(file.read_text())
    change(document)
    file.write_text(json.dumps(document))


def replace_file(bundle: Path, name: str, data: bytes) -> None:
    """Put other bytes under a name and declare their true size and digest, as an attacker would."""
    (bundle / name).write_bytes(data)

    def declare(document) -> None:
        document["files"][name]["bytes"] = len(data)
        document["files"][name]["sha256"] = hashlib.sha256(data).hexdigest()

    edit(bundle, declare)


def tensor_file(header: Any, data: bytes = b"") -> bytes:
    """A safetensors file of this header, which may be any JSON or bytes."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def change_header(bundle: Path, name: str, change) -> None:
    """Change the header of a tensor file; its data stay."""
    data = (bundle / name).read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + length])
    change(header)
    replace_file(bundle, name, tensor_file(header, data[8 + length :]))


def as_format_1(bundle: Path) -> None:
    """What a stranger would write who leaves format 2 aside."""

    def change(document) -> None:
        document["format"] = 1
        for name in ("written_by", "needs", "statements", "figures", "left_out", "keeps", "made_from"):
            del document[name]

    edit(bundle, change)
