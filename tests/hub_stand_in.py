# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A small Hub on this machine: the routes that huggingface_hub asks for, over real sockets, with faults on demand.

    with HubStandIn() as hub:
        hub.fail("PUT", "/lfs/", "cut", times=1)             # the next upload of a large file breaks off in the middle
        hub.fail("POST", "/commit/", 429, **{"Retry-After": "1"})
        HfApi(endpoint=hub.url, token=WRITER).upload_file(...)

Repositories of models, data sets and spaces hold commits; branches and tags point to them. A commit appears whole or not at
all, and only if every large file that it names was uploaded and has its sha256. Kept in memory; no part of it is the Hub's code.
"""

import base64
import hashlib
import json
import re
import socket
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

import yaml
from huggingface_hub import constants
from huggingface_hub.utils import _http

from mm_affect.checkpoints import hub_errors


WRITER, READER, STRANGER = "hf_writer", "hf_reader", "hf_stranger"  # may write; may read what is private; may neither
LARGE = (".safetensors", ".parquet", ".npy", ".png", ".bin", ".model")  # as .gitattributes has it
KINDS = {"models": "model", "datasets": "dataset", "spaces": "space"}


class Refused(Exception):
    """An answer other than 2xx: status, `X-Error-Code`, message, and what else the body holds."""

    def __init__(self, status: int, code: str = "", message: str = "", **body):
        super().__init__(message or code)
        self.status, self.code, self.body = status, code, body


@dataclass
class Blob:
    content: bytes
    large: bool

    @property
    def oid(self) -> str:
        """The hash that git gives a file of this content."""
        return hashlib.sha1(b"blob %d\0" % len(self.content) + self.content).hexdigest()

    @property
    def etag(self) -> str:
        return hashlib.sha256(self.content).hexdigest() if self.large else self.oid


@dataclass
class Repository:
    kind: str
    name: str
    private: bool = False
    gated: str | bool = False
    commits: dict = field(default_factory=dict)  # sha -> {path: Blob}, oldest first
    titles: dict = field(default_factory=dict)
    branches: dict = field(default_factory=dict)
    tags: dict = field(default_factory=dict)

    def add(self, branch: str, files: dict, title: str) -> str:
        sha = hashlib.sha1(f"{self.kind} {self.name} {len(self.commits)} {title}".encode()).hexdigest()
        self.commits[sha], self.titles[sha], self.branches[branch] = files, title, sha
        return sha

    def sha(self, revision: str) -> str:
        found = self.branches.get(revision) or self.tags.get(revision) or revision
        if found not in self.commits:
            raise Refused(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return found

    def files(self, revision: str = "main") -> dict[str, bytes]:
        """What is visible at a revision: path -> content."""
        return {path: blob.content for path, blob in self.commits[self.sha(revision)].items()}


@dataclass
class Fault:
    method: str
    path: str
    kind: int | str
    times: int
    headers: dict


class HubStandIn:
    """The server; a context manager. `repositories` holds what is visible, `requests` what was asked."""

    def __init__(self):
        self.repositories: dict[tuple[str, str], Repository] = {}
        self.large: dict[str, bytes] = {}
        self.faults: list[Fault] = []
        self.requests: list[tuple[str, str]] = []
        self.lock = threading.Lock()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), type("Answers", (Handler,), {"hub": self}))
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def serve_this_process(self, monkeypatch, cache) -> None:
        """Be the Hub of this test, as a writer who has just logged in; waiting takes no time and is noted in `waits`."""
        self.waits: list[float] = []
        monkeypatch.setattr(constants, "ENDPOINT", self.url)
        template = self.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(cache / "no_token"))
        monkeypatch.setenv("HF_TOKEN", WRITER)
        for module in (_http, hub_errors):
            monkeypatch.setattr(module.time, "sleep", self.waits.append)

    def fail(self, method: str, path: str, kind: int | str, times: int = 1, **headers) -> None:
        """Answer the next requests of this method, whose path has `path` in it, with an error status; or `"cut"` the
        connection half-way through the content, or `"flip"` a bit of what is sent or downloaded."""
        self.faults.append(Fault(method, path, kind, times, headers))

    def fault_of(self, method: str, path: str) -> Fault | None:
        with self.lock:
            for fault in self.faults:
                if fault.times and fault.method == method and fault.path in path:
                    fault.times -= 1
                    return fault

    def repository(self, name: str, kind: str = "model") -> Repository:
        return self.repositories[kind, name]

    def make(self, name: str, kind: str = "model", files: dict[str, bytes] | None = None, **fields) -> Repository:
        """A repository with these files, as if it had been there before."""
        made = self.repositories[kind, name] = Repository(kind, name, **fields)
        blobs = {path: Blob(content, path.endswith(LARGE)) for path, content in (files or {}).items()}
        made.add("main", {".gitattributes": Blob(b"", False), **blobs}, "initial commit")
        return made


class Handler(BaseHTTPRequestHandler):
    """One request. `ROUTES` names the method for each path."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # or headers and content of a small answer wait for each other
    hub: HubStandIn

    def log_message(self, *_):
        pass

    def answer(self):
        address = urlsplit(self.path)
        self.query = {key: values[0] for key, values in parse_qs(address.query).items()}
        self.hub.requests.append((self.command, address.path))
        fault = self.hub.fault_of(self.command, address.path)
        length = int(self.headers.get("Content-Length") or 0)
        if fault and fault.kind == "cut" and self.command in ("PUT", "POST"):
            self.rfile.read(length // 2)
            return self.hang_up()
        self.content = self.rfile.read(length)
        if fault and fault.kind == "flip" and self.command == "PUT":
            self.content, fault = flipped(self.content), None
        try:
            if fault and isinstance(fault.kind, int):
                raise Refused(fault.kind, message=f"a fault that was asked for ({fault.kind})")
            for method, pattern, route in ROUTES:
                if found := (self.command in method.split()) and re.fullmatch(pattern, address.path):
                    return self.send(
                        *route(self, **{k: unquote(v or "") for k, v in found.groupdict().items()}), fault
                    )
            raise Refused(404, message=f"no route {self.command} {address.path}")
        except Refused as refused:
            headers = {"X-Error-Code": refused.code} if refused.code else {}
            headers |= {"X-Error-Message": str(refused)} | (fault.headers if fault else {})
            self.send({"error": str(refused)} | refused.body, headers, refused.status)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = answer

    def send(self, content, headers=None, status=200, fault=None):
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in ({"Content-Type": "application/json"} | (headers or {})).items():
            self.send_header(name, str(value))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        if fault and fault.kind == "flip":
            body = flipped(body)
        if fault and fault.kind == "cut":
            self.wfile.write(body[: len(body) // 2])
            return self.hang_up()
        self.wfile.write(body)

    def hang_up(self):
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    # who may what -------------------------------------------------------------------------------------------------

    def token(self) -> str | None:
        token = self.headers.get("Authorization", "").removeprefix("Bearer ") or None
        if token not in (None, WRITER, READER, STRANGER):
            raise Refused(401, message="Invalid credentials in Authorization header")
        return token

    def readable(self, kind: str, name: str) -> Repository:
        repository = self.hub.repositories.get((KINDS.get(kind, "model"), name))
        if repository is None or (repository.private and self.token() not in (WRITER, READER)):
            raise Refused(401 if self.token() is None else 404, "RepoNotFound", "Repository not found")
        return repository

    def check_writer(self) -> None:
        if self.token() is None:
            raise Refused(401, message="Invalid username or password.")
        if self.token() != WRITER:
            raise Refused(403, message="You don't have the rights to do this")

    def writable(self, kind: str, name: str) -> Repository:
        repository = self.readable(kind, name)
        self.check_writer()
        return repository

    def json(self) -> dict:
        return json.loads(self.content or b"{}")

    # repositories -------------------------------------------------------------------------------------------------

    def whoami(self):
        self.check_writer()
        return ({"type": "user", "name": "me", "orgs": [{"name": "org"}], "auth": {"accessToken": {"role": "write"}}},)

    def create(self):
        self.check_writer()
        wanted = self.json()
        kind, name = wanted.get("type") or "model", f"{wanted.get('organization') or 'me'}/{wanted['name']}"
        url = f"{self.hub.url}/{'' if kind == 'model' else kind + 's/'}{name}"
        with self.hub.lock:
            if (kind, name) in self.hub.repositories:
                raise Refused(409, message="You already created this repo", url=url)
            self.hub.make(name, kind, private=wanted.get("visibility") == "private" or bool(wanted.get("private")))
        return ({"url": url, "name": name},)

    def delete(self):
        self.check_writer()
        wanted = self.json()
        name = f"{wanted.get('organization') or 'me'}/{wanted['name']}"
        if self.hub.repositories.pop((wanted.get("type") or "model", name), None) is None:
            raise Refused(404, "RepoNotFound", "Repository not found")
        return ({},)

    def settings(self, kind, name):
        repository = self.writable(kind, name)
        wanted = self.json()
        repository.gated = wanted.get("gated", repository.gated)
        if "visibility" in wanted or "private" in wanted:
            repository.private = wanted.get("visibility") == "private" or bool(wanted.get("private"))
        return ({"private": repository.private, "gated": repository.gated},)

    def info(self, kind, name, revision="main"):
        repository = self.readable(kind, name)
        sha = repository.sha(revision or "main")
        siblings = [{"rfilename": path} for path in repository.commits[sha]]
        state = {"private": repository.private, "gated": repository.gated, "disabled": False}
        return ({"_id": sha[:24], "id": name, "sha": sha, "siblings": siblings, "tags": [], "downloads": 0} | state,)

    def validate_card(self):
        front = re.match(r"---\n(.*?)\n---", self.json()["content"], re.DOTALL)
        try:
            fields = yaml.safe_load(front[1]) if front else {}
        except yaml.YAMLError as error:
            raise Refused(400, message=f"Invalid YAML: {error}".split("\n")[0]) from error
        if not isinstance(fields, dict):
            raise Refused(400, message="The front matter is no mapping")
        return ({"errors": [], "warnings": []},)

    def refs(self, kind, name):
        repository = self.readable(kind, name)
        shown = {
            what: [{"name": ref, "ref": f"refs/{path}/{ref}", "targetCommit": sha} for ref, sha in found.items()]
            for what, path, found in (("branches", "heads", repository.branches), ("tags", "tags", repository.tags))
        }
        return (shown | {"converts": []},)

    def history(self, kind, name, revision):
        repository = self.readable(kind, name)
        repository.sha(revision)
        shown = [
            {"id": sha, "title": title, "message": "", "authors": [{"user": "me"}], "date": "2026-01-01T00:00:00.000Z"}
            for sha, title in reversed(repository.titles.items())
        ]
        return (shown,)

    def branch(self, kind, name, branch):
        repository = self.writable(kind, name)
        if branch in repository.branches:
            raise Refused(409, message="Reference already exists")
        repository.branches[branch] = repository.sha(self.json().get("startingPoint") or "main")
        return ({},)

    def tag(self, kind, name, revision):
        repository = self.writable(kind, name)
        tag = self.json()["tag"]
        if tag in repository.tags:
            raise Refused(409, message="Tag reference exists already")
        repository.tags[tag] = repository.sha(revision)
        return ({},)

    # reading ------------------------------------------------------------------------------------------------------

    def tree(self, kind, name, revision, folder=""):
        repository = self.readable(kind, name)
        below = f"{folder.strip('/')}/" if folder else ""
        shown, folders = [], {}
        for path, blob in repository.commits[repository.sha(revision)].items():
            if path.startswith(below):
                inner = path[len(below) :]
                if "/" in inner:
                    folders[below + inner.split("/")[0]] = None
                if "/" not in inner or self.query.get("recursive", "").lower() in ("true", "1"):
                    shown.append(self.entry(path, blob))
        if folder and not shown and not folders:
            raise Refused(404, "EntryNotFound", f"{folder} does not exist")
        return ([{"type": "directory", "oid": "0" * 40, "size": 0, "path": path} for path in folders] + shown,)

    def paths(self, kind, name, revision):
        repository = self.readable(kind, name)
        form = parse_qs(self.content.decode()) if self.content[:1] not in (b"{", b"") else self.json()
        files = repository.commits[repository.sha(revision)]
        return ([self.entry(path, files[path]) for path in form.get("paths", []) if path in files],)

    def entry(self, path, blob):
        large = {"lfs": {"oid": blob.etag, "size": len(blob.content), "pointerSize": 130}} if blob.large else {}
        return {"type": "file", "oid": blob.oid, "size": len(blob.content), "path": path} | large

    def resolve(self, kind, name, revision, path):
        repository = self.readable(kind, name)
        sha = repository.sha(revision)
        if repository.gated and self.token() not in (WRITER, READER):
            raise Refused(401 if self.token() is None else 403, "GatedRepo", "Access to this repository is restricted")
        if path not in repository.commits[sha]:
            raise Refused(404, "EntryNotFound", "Entry not found")
        blob = repository.commits[sha][path]
        headers = {"X-Repo-Commit": sha, "ETag": f'"{blob.etag}"', "Accept-Ranges": "bytes"}
        headers |= {"Content-Type": "application/octet-stream"}
        if blob.large:
            headers |= {"X-Linked-Etag": f'"{blob.etag}"', "X-Linked-Size": len(blob.content)}
        if wanted := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")):
            start, last = int(wanted[1]), min(int(wanted[2] or len(blob.content)), len(blob.content) - 1)
            if start > last:
                raise Refused(416, message="Range not satisfiable")
            headers["Content-Range"] = f"bytes {start}-{last}/{len(blob.content)}"
            return blob.content[start : last + 1], headers, 206
        return blob.content, headers, 200

    # writing ------------------------------------------------------------------------------------------------------

    def preupload(self, kind, name, revision):
        repository = self.writable(kind, name)
        there = repository.commits[repository.sha(revision)]
        told = []
        for file in self.json()["files"]:
            mode = "lfs" if file["path"].endswith(LARGE) else "regular"
            known = there.get(file["path"])
            oid = None if known is None else known.etag  # which is what huggingface_hub compares its own with
            told.append({"path": file["path"], "uploadMode": mode, "shouldIgnore": False, "oid": oid})
        return ({"files": told},)

    def batch(self, kind, name):
        self.writable(kind, name)
        objects = []
        for wanted in self.json()["objects"]:
            actions = {
                "upload": {"href": f"{self.hub.url}/lfs/{wanted['oid']}"},
                "verify": {"href": f"{self.hub.url}/lfs/verify"},
            }
            objects.append(wanted | ({} if wanted["oid"] in self.hub.large else {"actions": actions}))
        return ({"transfer": "basic", "objects": objects},)

    def upload(self, oid):
        if hashlib.sha256(self.content).hexdigest() != oid:
            raise Refused(422, message="The content has another sha256 than its name says")
        self.hub.large[oid] = self.content
        return b"", {}, 200

    def verify(self):
        wanted = self.json()
        if len(self.hub.large.get(wanted["oid"], b"")) != wanted["size"]:
            raise Refused(404, message="No such object")
        return ({},)

    def commit(self, kind, name, revision):
        repository = self.writable(kind, name)
        lines = [json.loads(line) for line in self.content.splitlines() if line]
        with self.hub.lock:
            if revision not in repository.branches:
                raise Refused(404, "RevisionNotFound", f"Invalid rev id: {revision}")
            head = repository.branches[revision]
            files, title = dict(repository.commits[head]), ""
            for key, value in ((line["key"], line["value"]) for line in lines):
                if key == "header":
                    title = value["summary"]
                    if value.get("parentCommit", head) != head:
                        raise Refused(412, message="A commit has happened since.")
                elif key == "file":
                    files[value["path"]] = Blob(base64.b64decode(value["content"]), False)
                elif key == "lfsFile":
                    if value["oid"] not in self.hub.large:
                        raise Refused(
                            400, message=f"LFS pointer of {value['path']} pointed to a file that does not exist"
                        )
                    files[value["path"]] = Blob(self.hub.large[value["oid"]], True)
                elif key == "deletedFile":
                    files.pop(value["path"], None)
                else:
                    raise Refused(400, message=f"unknown operation {key}")
            sha = repository.add(revision, files, title)
        url = f"{self.hub.url}/{'' if repository.kind == 'model' else repository.kind + 's/'}{name}/commit/{sha}"
        return ({"commitUrl": url, "commitOid": sha, "pullRequestUrl": None, "hookOutput": "", "success": True},)


def flipped(content: bytes) -> bytes:
    """Damaged by one bit."""
    return content[:-1] + bytes([content[-1] ^ 1])


NAME = r"(?P<name>[^/]+/[^/]+)"
API = rf"/api/(?P<kind>models|datasets|spaces)/{NAME}"
PAGE = rf"/(?:(?P<kind>datasets|spaces)/)?{NAME}"
REVISION = r"(?P<revision>[^/]+)"
ROUTES = [
    ("GET", "/api/whoami-v2", Handler.whoami),
    ("POST", "/api/repos/create", Handler.create),
    ("DELETE", "/api/repos/delete", Handler.delete),
    ("POST", "/api/validate-yaml", Handler.validate_card),
    ("PUT", f"{API}/settings", Handler.settings),
    ("GET", f"{API}(?:/revision/{REVISION})?", Handler.info),
    ("GET", f"{API}/refs", Handler.refs),
    ("GET", f"{API}/commits/{REVISION}", Handler.history),
    ("GET", rf"{API}/tree/{REVISION}(?:/(?P<folder>.+))?", Handler.tree),
    ("POST", f"{API}/paths-info/{REVISION}", Handler.paths),
    ("POST", f"{API}/branch/(?P<branch>[^/]+)", Handler.branch),
    ("POST", f"{API}/tag/{REVISION}", Handler.tag),
    ("POST", f"{API}/preupload/{REVISION}", Handler.preupload),
    ("POST", f"{API}/commit/{REVISION}", Handler.commit),
    ("POST", rf"{PAGE}\.git/info/lfs/objects/batch", Handler.batch),
    ("POST", "/lfs/verify", Handler.verify),
    ("PUT", "/lfs/(?P<oid>[0-9a-f]{64})", Handler.upload),
    ("GET HEAD", rf"{PAGE}/resolve/{REVISION}/(?P<path>.+)", Handler.resolve),
]
