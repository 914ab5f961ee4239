"""Pushing, against a stand-in of the hub on this machine that huggingface_hub really talks to."""

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from vov_lightning.bases.nano.model import Nano
from vov_lightning.errors import ExportError
from vov_lightning.export.card import Entry, find_entries, model_card
from vov_lightning.export.push import push


class FakeHub:
    """Repositories by name, each a dict from path to bytes; answers what creating and committing ask for."""

    def __init__(self) -> None:
        self.url = ""
        self.repositories: dict[str, dict[str, bytes]] = {}
        self.private: dict[str, bool] = {}
        self.status: dict[str, int] = {}  # answer for a route, instead of doing it

    def answer(self, route: str, headers: dict[str, str], body: bytes) -> tuple[int, Any]:
        if headers.get("authorization") != "Bearer hf_stand_in":
            return 401, {"error": "Invalid credentials"}
        last = route.split("/")[-2] if "/commit/" in route or "/preupload/" in route else route.split("/")[-1]
        if last in self.status:
            return self.status[last], {"error": "as the test wants it"}
        if last == "create":
            wanted = json.loads(body)
            name = f"{wanted['organization']}/{wanted['name']}"
            if name in self.repositories:
                return 409, {"error": "You already created this model repo", "url": f"{self.url}/{name}"}
            self.repositories[name] = {}
            self.private[name] = wanted.get("visibility") == "private" or wanted.get("private") is True
            return 200, {"url": f"{self.url}/{name}", "name": name}
        if last == "validate-yaml":
            return 200, {"warnings": [], "errors": []}
        name = "/".join(route.split("/")[3:5])
        if last == "preupload":
            return 200, {
                "files": [
                    {**file, "uploadMode": "regular", "shouldIgnore": False} for file in json.loads(body)["files"]
                ]
            }
        for line in body.decode().splitlines():
            change = json.loads(line)
            if change["key"] == "file":
                value = change["value"]
                assert value["encoding"] == "base64"
                self.repositories[name][value["path"]] = base64.b64decode(value["content"])
        return 200, {"commitUrl": f"{self.url}/{name}/commit/abc", "commitOid": "abc", "pullRequestUrl": None}


@pytest.fixture
def hub(monkeypatch) -> Iterator[FakeHub]:
    fake = FakeHub()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = "/".join(self.path.split("/")[-2:])
            self.say(200, {"id": name, "private": fake.private[name]})

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            self.say(*fake.answer(self.path, headers, body))

        def say(self, status: int, found: Any) -> None:
            data = json.dumps(found).encode()
            self.send_response(status)
            for name, value in (("Content-Type", "application/json"), ("Content-Length", str(len(data)))):
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            pass

    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "127.0.0.1")
    monkeypatch.setenv("HF_TOKEN", "hf_stand_in")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        fake.url = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", fake.url)
        yield fake
        server.shutdown()
        thread.join()


@pytest.fixture
def entries(make_base, make_file, tmp_path) -> list[Entry]:
    """A folder of two files, one of them with a preview, and much that stays here."""
    file = make_file(make_base(Nano))
    for name in ("a", "b [1]"):
        (tmp_path / name).mkdir()
        file.save(tmp_path / name / "x.vov")
    (tmp_path / "a" / "config.yaml").write_text("data: /home/me/secret")
    (tmp_path / "a" / "checkpoints").mkdir()
    found = find_entries(tmp_path)
    (tmp_path / "a" / "preview.mp4").write_bytes(b"moving")
    return [Entry(found[0].path, file, None, Path("a/preview.mp4")), found[1]]


def push_all(folder: Path, entries: list[Entry], **options: bool) -> str:
    return push(folder, entries, model_card(entries, "clips"), "me/my-clips", **options)


def test_card_files_and_previews_arrive_and_nothing_else(hub, entries, tmp_path):
    assert push_all(tmp_path, entries) == f"{hub.url}/me/my-clips/commit/abc"
    files = hub.repositories["me/my-clips"]
    assert set(files) == {"README.md", "a/x.vov", "a/preview.mp4", "b [1]/x.vov"}
    assert files["a/x.vov"] == entries[0].file.to_bytes()
    assert files["a/preview.mp4"] == b"moving"
    assert files["README.md"].decode() == model_card(entries, "clips")
    assert not hub.private["me/my-clips"]


def test_a_private_repository_is_created_so(hub, entries, tmp_path):
    push_all(tmp_path, entries, private=True)
    assert hub.private["me/my-clips"]


def test_what_is_public_is_not_pushed_to_as_private(hub, entries, tmp_path):
    push_all(tmp_path, entries)
    with pytest.raises(ExportError, match="me/my-clips exists and is public, and --private asks for the opposite"):
        push_all(tmp_path, entries, private=True, overwrite=True)


def test_an_existing_repository_is_added_to_only_when_told(hub, entries, tmp_path):
    hub.repositories["me/my-clips"] = {"weights.bin": b"theirs"}
    with pytest.raises(
        ExportError, match=r"\(HTTP 409\); it exists; choose another name, or add to it with --overwrite"
    ):
        push_all(tmp_path, entries)
    assert set(hub.repositories["me/my-clips"]) == {"weights.bin"}
    push_all(tmp_path, entries, overwrite=True)
    assert {"weights.bin", "README.md"} < set(hub.repositories["me/my-clips"])


def test_a_wrong_token(hub, entries, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_other")
    with pytest.raises(ExportError, match=r"\(HTTP 401\); the token is not valid; run `hf auth login`"):
        push_all(tmp_path, entries)


@pytest.mark.parametrize("route", ["create", "commit"])
def test_a_token_that_may_not_write(hub, entries, tmp_path, route):
    hub.status[route] = 403
    with pytest.raises(ExportError, match="the token may not write there"):
        push_all(tmp_path, entries)


def test_no_token(hub, entries, tmp_path, monkeypatch):
    monkeypatch.setattr("vov_lightning.export.push.get_token", lambda: None)
    with pytest.raises(ExportError, match=r"there is no token of the Hugging Face hub.*run `hf auth login`"):
        push_all(tmp_path, entries)
    assert not hub.repositories


def test_no_network(hub, entries, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:1")
    with pytest.raises(
        ExportError, match=r"the hub at http://127\.0\.0\.1:1 is out of reach: .*where there is network"
    ):
        push_all(tmp_path, entries)


def test_offline_mode(hub, entries, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ExportError, match=r"out of reach: .*unset HF_HUB_OFFLINE"):
        push_all(tmp_path, entries)


@pytest.mark.parametrize("name", ["clips", "me/", "/clips", "a/b/c", "me/my clips", "me/..", "me/a--b", "me/x.git"])
def test_a_malformed_name(hub, entries, tmp_path, name):
    with pytest.raises(ExportError, match="is not user/name with letters"):
        push(tmp_path, entries, "", name)
    assert not hub.repositories
