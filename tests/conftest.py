"""What several test folders share: a Wan of 160,000 random weights that runs in milliseconds, a fake chat server."""

import json
import math
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

if "PYTEST_XDIST_WORKER" in os.environ:  # the other cores have workers of their own; PyTorch reads it on import
    os.environ["OMP_NUM_THREADS"] = "1"

import pytest
import torch

from vov_lightning.bases.nano.autoencoder import AutoencoderConfig
from vov_lightning.bases.nano.model import Nano, NanoConfig
from vov_lightning.evaluation.report import bd_rates


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


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Tiny tensors on a busy machine: threads that wait for each other at every operator take twenty times as long.

    Of a module, so that what other fixtures of it encode is decoded with as many threads.
    """
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


REPORT_CLIPS = ("akiyo", "bus", "coastguard", "football", "foreman", "mobile", "stefan", "still <b>&</b>")
REPORT_METRICS: dict[str, dict[str, Any]] = {
    "psnr_db": {"label": "PSNR", "unit": "dB", "higher_is_better": True, "digits": 2},
    "ms_ssim": {"label": "MS-SSIM", "unit": "", "higher_is_better": True, "digits": 3},
    "lpips_alex": {"label": "LPIPS (AlexNet)", "unit": "", "higher_is_better": False, "digits": 3},
    "dists": {"label": "DISTS", "unit": "", "higher_is_better": False, "digits": 3},
    "fvd_upscaled": {"label": "FVD, upscaled", "unit": "", "higher_is_better": False, "digits": 1},
}
REPORT_METHODS = {"vov": 0.0, "indices": 0.3, "x265": -2.6, "svtav1": -1.9, "siren": -4.8}  # PSNR beside that of vov
REPORT_FRAMES = 9
HOSTILE = "</script><script>window.hacked = 1</script><img src=x onerror='window.hacked = 1'>"


@pytest.fixture(scope="session")
def report_results() -> dict[str, Any]:
    """An evaluation as in results.json: 8 clips, one an image, 3 rates, 5 methods, nulls, hostile names."""
    points: list[dict[str, Any]] = []
    unreachable: list[dict[str, Any]] = []
    for place, clip in enumerate(REPORT_CLIPS):
        for rate, num_bytes in (("lambda-6e-3", 320), ("lambda-3e-3", 622), ("lambda-1.5e-3", 1180)):
            for method, gain in REPORT_METHODS.items():
                size = num_bytes + 9 * place + (7 if method in ("x265", "svtav1") else 0)
                if method == "x265" and num_bytes == 320 and place in (1, 5):
                    reason = f"the smallest stream that x265 writes has {size + 61} bytes, at CRF 51"
                    unreachable.append({"clip": clip, "method": method, "rate": rate, "bytes": size, "reason": reason})
                    continue
                points.append(_report_point(len(points), place, rate, size, method, gain))
    metrics = {key: {**value, "description": f"What {value['label']} is."} for key, value in REPORT_METRICS.items()}
    steps = list(range(0, 241, 20))
    return {
        "schema": 1,
        "about": {
            "command": "vov-eval --runs runs/test --sources data/test --baselines '[x265,svtav1,siren]'",
            "date": "2026-11-23T04:00:00+00:00",
            "versions": {"vov_lightning": "0.1.0", "torch": "2.15.0", "torchmetrics": "1.9.0", "lightning": "2.6.6"},
            "machine": {"platform": "Linux", "processor": "x86_64", "cores": 2, "device": "cpu"},
            "settings": {"metrics": list(metrics), "note": HOSTILE},
        },
        "metrics": metrics,
        "methods": {key: {"label": key, "description": f"The method {key}. {HOSTILE}"} for key in REPORT_METHODS},
        "points": points,
        "bounds": {
            clip: {"psnr_db": 26.0 + i / 4, "dists": 0.15, "lpips_alex": 0.1} for i, clip in enumerate(REPORT_CLIPS)
        },
        "unreachable": unreachable,
        "failures": [{"file": f"runs/test/{HOSTILE}.vov", "error": f"BitstreamError: the file is truncated {HOSTILE}"}],
        "sets": [_report_set(points, rate, method) for rate in _rates(points) for method in REPORT_METHODS],
        "bd_rate": bd_rates(points, metrics),
        "fits": [
            {
                "clip": clip,
                "rate": rate,
                "steps": steps,
                "curves": {
                    "psnr_db": [13 + (11 + i / 3) * (1 - 0.98**step) for step in steps],
                    "bpp": [None if step < 120 else 0.3 - (step - 120) / 900 for step in steps],
                    "flow_loss": [0.2 + 0.9 * 0.985**step + 0.01 * i for step in steps],
                },
            }
            for rate in _rates(points)
            for i, clip in enumerate(REPORT_CLIPS)
        ],
    }


def _report_point(number: int, place: int, rate: str, size: int, method: str, gain: float) -> dict[str, Any]:
    frames = 1 if place == 7 else REPORT_FRAMES
    bpp = 8 * size / (frames * 64 * 64)
    psnr = 24.0 + gain + 3.1 * math.log2(size / 622) + 2 * math.sin(2 * place)
    figures = {
        "psnr_db": psnr,
        "ms_ssim": None,
        "lpips_alex": max(0.02, 0.62 - 0.018 * psnr - 0.02 * (gain < -1)),
        "dists": max(0.02, 0.55 - 0.013 * psnr),
    }
    return {
        "id": number,
        "clip": REPORT_CLIPS[place],
        "method": method,
        "rate": rate,
        "file": f"runs/{rate}/{place}.vov" if method == "vov" else None,
        "bytes": size,
        "bpp": bpp,
        "sections": {"header": 41, "caption": 37, "counts": 29, "vector": 96, "indices": size - 203}
        if method == "vov"
        else {},
        "frames": frames,
        "height": 64,
        "width": 64,
        "fps": "30000/1001",
        "figures": figures,
        "reasons": {"ms_ssim": "sides of 64 pixels are below the 162 that five scales need"},
        "per_frame": {"psnr_db": [psnr + math.sin(t + place) / 2 for t in range(frames)]},
        "encode_s": 0.2 * (number % 7 + 1),
        "decode_s": None if number % 11 == 0 else 0.04,
        "settings": f"ffmpeg -i source.y4m -c:v {method} -preset veryslow -x265-params crf={30 + number % 9}:info=0",
    }


def _report_set(points: list[dict[str, Any]], rate: str, method: str) -> dict[str, Any]:
    chosen = [point for point in points if (point["rate"], point["method"]) == (rate, method)]
    figures: dict[str, float | None] = {}
    for key in REPORT_METRICS:
        values = [point["figures"].get(key) for point in chosen]
        figures[key] = None if None in values else sum(values) / len(values)
    figures["fvd_upscaled"] = 900.0 - 20 * (figures["psnr_db"] or 0)
    mean = {key: sum(point[key] for point in chosen) / len(chosen) for key in ("bytes", "bpp")}
    reasons = {"ms_ssim": "sides of 64 pixels are below the 162 that five scales need"}
    return {"method": method, "rate": rate, "clips": len(chosen), **mean, "figures": figures, "reasons": reasons}


def _rates(points: list[dict[str, Any]]) -> list[str]:
    return list(dict.fromkeys(point["rate"] for point in points))


@pytest.fixture(scope="session")
def report_frames(report_results) -> tuple[dict[int, torch.Tensor], dict[str, torch.Tensor]]:
    """Frames by point and sources by clip: gradients that move; the first pixel of frame t is (20 t, 20 t, 20 t)."""
    y, x = torch.meshgrid(torch.arange(64), torch.arange(64), indexing="ij")
    sources = {}
    for place, clip in enumerate(REPORT_CLIPS):
        times = range(1 if place == 7 else REPORT_FRAMES)
        frames = torch.stack(
            [torch.stack([4 * x, (3 * y + 9 * t) % 256, (x * y // 16 + 30 * place) % 256]) for t in times]
        )
        frames[:, :, :4, :4] = 20 * torch.arange(len(frames))[:, None, None, None]
        sources[clip] = frames.byte()
    decoded = {}
    for point in report_results["points"]:
        frames = sources[point["clip"]].clone()
        frames[:, :, 4:] = frames[:, :, 4:] // 32 * 32 + 8 * list(REPORT_METHODS).index(point["method"])
        decoded[point["id"]] = frames
    return decoded, sources
