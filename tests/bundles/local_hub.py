"""The few answers of a model hub that a bundle needs on its way there and back, from memory."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "1" * 40


class Hub(ThreadingHTTPServer):
    """files    repository -> name -> content
    created  what each new repository was asked to be
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.files: dict[str, dict[str, bytes]] = {}
        self.created: dict[str, dict] = {}

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Answers(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments: object) -> None:
        pass

    def answer(self, code: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(code)
        for name, value in {"Content-Length": str(len(body)), "X-Repo-Commit": COMMIT, **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def say(self, **fields: object) -> None:
        self.answer(200, json.dumps(fields).encode(), Content_Type="application/json")

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = self.path.partition("?")[0].strip("/")
        if "/resolve/" in path:
            repository, _, rest = path.partition("/resolve/")
            content = self.server.files.get(repository, {}).get(rest.partition("/")[2])
            if content is None:
                missing = "EntryNotFound" if repository in self.server.files else "RepoNotFound"
                self.answer(404, X_Error_Code=missing)
            else:
                self.answer(200, content, ETag=f'"{hashlib.sha1(content).hexdigest()}"')
        elif path.startswith("api/models/"):
            self.say(
                id=path.split("/revision/")[0].removeprefix("api/models/"), sha=COMMIT, siblings=[], tags=[]
            )
        else:
            self.answer(404)

    def do_POST(self) -> None:
        body = self.body()
        if self.path == "/api/repos/create":
            asked = json.loads(body)
            name = f"{asked.get('organization') or 'someone'}/{asked['name']}"
            self.server.files.setdefault(name, {})
            self.server.created.setdefault(name, asked)
            self.say(url=f"{self.server.address}/{name}", name=name)
        elif "/preupload/" in self.path:
            names = [file["path"] for file in json.loads(body)["files"]]
            self.say(files=[{"path": name, "uploadMode": "regular", "shouldIgnore": False} for name in names])
        elif "/commit/" in self.path:
            repository = self.path.removeprefix("/api/models/").partition("/commit/")[0]
            for line in body.splitlines():
                entry = json.loads(line)
                if entry["key"] == "file":
                    value = entry["value"]
                    self.server.files[repository][value["path"]] = base64.b64decode(value["content"])
            self.say(commitUrl=f"{self.server.address}/{repository}/commit/{COMMIT}", commitOid=COMMIT)
        else:
            self.say()

    def body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        found = b""
        while size := int(self.rfile.readline(), 16):
            found += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return found


@contextmanager
def local_hub() -> Iterator[Hub]:
    with Hub() as hub:
        thread = threading.Thread(target=hub.serve_forever, daemon=True)
        thread.start()
        yield hub
        hub.shutdown()
        thread.join()
