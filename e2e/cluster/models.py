#!/usr/bin/env python3
"""Serves a folder with a model as the hub does, and as a plain web server: models.py FOLDER HOST:PORT

Speaks what is documented of the hub's API: a repository's files at a revision with their sizes and digests, large ones by a redirect to
another path, ranges and ETags. To be run in the node's network, by tests alone.

    /api/models/team/model/revision/REVISION    what is in it
    /team/model/resolve/COMMIT/FILE             a file, or a redirect to /store/FILE
    /archive/model.tar, /archive/climbing.tar   the same files in an archive; one that climbs out of its folder
    /broken/WHAT/...                            the same, but broken until GET /heal/WHAT: cut (each first answer ends halfway),
                                                drip (a byte a second), denied (401), gone (404), changed (other bytes)
    /asked                                      how many files were asked for since the start
"""

import hashlib
import io
import json
import pathlib
import sys
import tarfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "0123456789abcdef0123456789abcdef01234567"
FOLDER = pathlib.Path(sys.argv[1])
LARGE = {file.name for file in FOLDER.iterdir() if ".onnx" in file.name}
healed: set[str] = set()
cut_once: set[str] = set()
asked = 0
lock = threading.Lock()


def archive(prefix: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for file in sorted(FOLDER.iterdir()):
            entry = tarfile.TarInfo(prefix + file.name)
            entry.size = file.stat().st_size
            tar.addfile(entry, io.BytesIO(file.read_bytes()))
    return buffer.getvalue()


def sibling(file: pathlib.Path) -> dict:
    content = file.read_bytes()
    blob = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
    found = {"rfilename": file.name, "size": len(content), "blobId": blob}
    if file.name in LARGE:
        found["lfs"] = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 134}
    return found


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = self.path.split("?")[0]
        broken = ""
        if path.startswith("/heal/"):
            healed.add(path.removeprefix("/heal/"))
            return self.answer(b"healed")
        if path == "/asked":
            return self.answer(str(asked).encode())
        if path.startswith("/broken/"):
            _, _, what, rest = path.split("/", 3)
            path = f"/{rest}"
            broken = "" if what in healed else what
        if broken == "denied":
            return self.refuse(401)
        if broken == "gone":
            return self.refuse(404)
        parts = path.strip("/").split("/")
        if path.startswith("/api/models/team/model/revision/"):
            siblings = [sibling(file) for file in sorted(FOLDER.iterdir())]
            return self.answer(json.dumps({"id": "team/model", "sha": COMMIT, "siblings": siblings}).encode())
        if parts[:3] == ["team", "model", "resolve"] and len(parts) == 5:
            if parts[4] in LARGE:
                prefix = self.path.split("?")[0].split("/team/")[0]
                return self.redirect(f"{prefix}/store/{parts[4]}?signature=s3cret")
            return self.file(parts[4], broken)
        if parts[0] == "store" and len(parts) == 2:
            return self.file(parts[1], broken)
        if parts[0] == "archive":
            return self.content(path, archive("../" if parts[-1] == "climbing.tar" else ""), broken)
        return self.refuse(404)

    def file(self, name: str, broken: str) -> None:
        file = FOLDER / name
        if not file.is_file():
            return self.refuse(404)
        return self.content(name, file.read_bytes(), broken)

    def content(self, name: str, content: bytes, broken: str) -> None:
        global asked
        with lock:
            asked += 1
        start, total = 0, len(content)
        etag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
        wanted = self.headers.get("Range", "")
        if wanted.startswith("bytes=") and self.headers.get("If-Range", etag) == etag:
            start = int(wanted.removeprefix("bytes=").split("-")[0])
        if broken == "changed" and total > 100:
            content = content[:50] + b"?" + content[51:]
        body = content[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("ETag", etag)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
        self.end_headers()
        if self.command == "HEAD":
            return
        if broken == "cut" and name not in cut_once and len(body) > 1:
            cut_once.add(name)
            self.wfile.write(body[: len(body) // 2])
            self.close_connection = True
        elif broken == "drip":
            for byte in body:
                self.wfile.write(bytes([byte]))
                self.wfile.flush()
                time.sleep(1)
        else:
            self.wfile.write(body)

    def answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def refuse(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def redirect(self, to: str) -> None:
        self.send_response(302)
        self.send_header("Location", to)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


host, port = sys.argv[2].rsplit(":", 1)
ThreadingHTTPServer((host, int(port)), Handler).serve_forever()
