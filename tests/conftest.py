"""What several test folders share: a Wan of 160,000 random weights that runs in milliseconds, a fake chat server."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import torch

from vov_lightning.bases.autoencoder import AutoencoderConfig
from vov_lightning.bases.nano import Nano, NanoConfig


@pytest.fixture(scope="session")
def tiny_nano_config() -> NanoConfig:
    # Three widths: the model's sides are multiples of 8. Widths are multiples of 8: GroupNorm has 8 groups.
    autoencoder = AutoencoderConfig(z_channels=16, widths=(8, 16, 16), residual_blocks=1)
    return NanoConfig(autoencoder=autoencoder, layers=2, heads=1, ffn_dim=64, text_dim=16)


@pytest.fixture
def tiny_nano(tiny_nano_config: NanoConfig) -> Nano:
    """An untrained `nano` of a test's own, the same in every test; the global generator stays as it was."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Nano.untrained(tiny_nano_config)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Tiny tensors on a busy machine: threads that wait for each other at every operator take twenty times as long."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


class FakeEndpoint:
    """An OpenAI-compatible server on this machine: notes requests, plays back answers, the last one for ever.

    An answer is (status, headers, body); a status of 0 hangs up without one.
    """

    def __init__(self) -> None:
        self.requests: list[tuple[str, dict[str, str], Any]] = []  # path, headers with small letters, JSON
        self.answers: list[tuple[int, dict[str, str], bytes]] = []
        self.url = ""

    def say(self, text: str | None, **choice: Any) -> None:
        body = {"choices": [{"message": {"role": "assistant", "content": text}, **choice}]}
        self.fail(200, json.dumps(body).encode())

    def fail(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.answers.append((status, {name.replace("_", "-"): value for name, value in headers.items()}, body))


@pytest.fixture
def endpoint(monkeypatch) -> Iterator[FakeEndpoint]:
    """A `FakeEndpoint` that listens at ``endpoint.url``."""
    fake = FakeEndpoint()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            headers = {name.lower(): value for name, value in self.headers.items()}
            fake.requests.append((self.path, headers, json.loads(self.rfile.read(length))))
            status, extra, body = fake.answers.pop(0) if fake.answers[1:] else fake.answers[0]
            if not status:
                return
            self.send_response(status)
            for name, value in {**extra, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "127.0.0.1")
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        fake.url = f"http://127.0.0.1:{server.server_port}/v1"
        yield fake
        server.shutdown()
        thread.join()
