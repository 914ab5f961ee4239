"""What goes to a chat server, what comes back, and what happens when it does not."""

import base64
import io
import socket
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime

import numpy as np
import pytest
import torch
from PIL import Image

from vov_lightning.captioners import DEFAULT_PROMPT, EndpointCaptioner
from vov_lightning.captioners import endpoint as endpoint_module
from vov_lightning.captioners.endpoint import LONGEST_WAIT_S, retry_after_s
from vov_lightning.captioners.text import LONGEST_BYTES
from vov_lightning.errors import CaptionError, SettingError

KEY = "sk-secret-3141592653"


@pytest.fixture
def frames() -> torch.Tensor:
    """Nine grey frames, each with its own brightness."""
    return (torch.arange(9) * 25).byte().view(9, 1, 1, 1).expand(9, 3, 24, 32)


@pytest.fixture
def waits(monkeypatch) -> list[float]:
    """Seconds that would have been slept."""
    slept: list[float] = []
    monkeypatch.setattr(endpoint_module, "sleep", slept.append)
    return slept


def pictures(request) -> list[np.ndarray]:
    content = request[2]["messages"][0]["content"]
    urls = [part["image_url"]["url"] for part in content if part["type"] == "image_url"]
    assert all(url.startswith("data:image/jpeg;base64,") for url in urls)
    return [np.array(Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2])))) for url in urls]


def test_one_request_shows_evenly_spaced_frames(endpoint, frames):
    endpoint.say("  A grey wall\n brightens. ", finish_reason="stop")
    captioner = EndpointCaptioner(endpoint.url + "/", "vlm-1", frames=3, options={"temperature": 0})
    assert captioner.caption(frames) == "A grey wall brightens."
    ((path, headers, body),) = endpoint.requests
    assert path == "/v1/chat/completions"
    assert headers["content-type"] == "application/json"
    assert "authorization" not in headers
    assert (body["model"], body["temperature"]) == ("vlm-1", 0)
    assert body["messages"][0]["content"][-1] == {"type": "text", "text": DEFAULT_PROMPT}
    shown = pictures(endpoint.requests[0])
    assert [picture.shape for picture in shown] == [(24, 32, 3)] * 3
    # 2: JPEG rounds
    assert [float(picture.mean()) for picture in shown] == pytest.approx([0, 100, 200], abs=2)


@pytest.mark.parametrize(("length", "asked", "shown"), [(9, 1, [100]), (1, 4, [0]), (9, 2, [0, 200]), (2, 4, [0, 25])])
def test_number_of_frames(length, asked, shown, endpoint, frames):
    endpoint.say("grey")
    EndpointCaptioner(endpoint.url, "m", frames=asked).caption(frames[:length])
    assert [float(picture.mean()) for picture in pictures(endpoint.requests[0])] == pytest.approx(shown, abs=2)


def test_key_comes_from_the_environment(endpoint, frames, monkeypatch):
    endpoint.say("grey")
    monkeypatch.setenv("VLM_KEY", KEY + "\n")
    EndpointCaptioner(endpoint.url, "m", api_key_env="VLM_KEY").caption(frames)
    assert endpoint.requests[0][1]["authorization"] == f"Bearer {KEY}"
    monkeypatch.delenv("VLM_KEY")
    with pytest.raises(SettingError, match=r"api_key_env=VLM_KEY is not set .* export VLM_KEY="):
        EndpointCaptioner(endpoint.url, "m", api_key_env="VLM_KEY").caption(frames)
    assert len(endpoint.requests) == 1


def test_a_key_in_the_settings_is_refused_without_repeating_it(endpoint, frames, monkeypatch):
    with pytest.raises(SettingError, match="not the key") as caught:
        EndpointCaptioner(endpoint.url, "m", api_key_env=KEY).caption(frames)
    assert KEY not in str(caught.value)
    monkeypatch.setenv("VLM_KEY", f"{KEY}\nsecond line")
    with pytest.raises(SettingError, match="VLM_KEY") as caught:
        EndpointCaptioner(endpoint.url, "m", api_key_env="VLM_KEY").caption(frames)
    assert KEY not in str(caught.value)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_busy_server_is_asked_again_when_it_says(status, endpoint, frames, waits, capsys):
    endpoint.fail(status, b"busy", Retry_After="7")
    endpoint.fail(status, b"busy")
    endpoint.say("grey")
    assert EndpointCaptioner(endpoint.url, "m").caption(frames) == "grey"
    assert waits == [7.0, 2.0]
    assert len(endpoint.requests) == 3
    assert f"status {status}: busy; again in 7 s" in capsys.readouterr().err


def test_retry_after_may_be_a_date(endpoint, frames, waits):
    endpoint.fail(429, Retry_After=format_datetime(datetime.now(timezone.utc) + timedelta(seconds=30), usegmt=True))
    endpoint.say("grey")
    assert EndpointCaptioner(endpoint.url, "m").caption(frames) == "grey"
    assert waits[0] == pytest.approx(29, abs=2)
    assert retry_after_s("-5") is None
    assert retry_after_s(None) is None


def test_server_that_wants_too_long_a_wait_is_given_up(endpoint, frames, waits):
    endpoint.fail(429, Retry_After=str(int(LONGEST_WAIT_S) + 1))
    with pytest.raises(CaptionError, match=r"wants 121 s .* later"):
        EndpointCaptioner(endpoint.url, "m").caption(frames)
    assert waits == []


def test_attempts_end(endpoint, frames, waits):
    endpoint.fail(503, b"<html>\nOverloaded")
    with pytest.raises(CaptionError, match=r"in 4 attempts; the last one gave status 503: <html>; .* retries=3"):
        EndpointCaptioner(endpoint.url, "m", retries=3).caption(frames)
    assert waits == [1, 2, 4]


def test_hang_up_is_tried_again(endpoint, frames, waits):
    endpoint.fail(0)
    endpoint.say("grey")
    assert EndpointCaptioner(endpoint.url, "m").caption(frames) == "grey"
    assert waits == [1]


def test_nobody_listens(frames, waits):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/v1"
        with pytest.raises(CaptionError, match=r"in 2 attempts.*refused.*check base_url"):
            EndpointCaptioner(url, "m", retries=1).caption(frames)
    assert waits == [1]


def test_server_that_says_nothing_times_out(frames, waits):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/v1"
        with pytest.raises(CaptionError, match=r"timed out.*timeout_s=0\.05"):
            EndpointCaptioner(url, "m", retries=0, timeout_s=0.05).caption(frames)


@pytest.mark.parametrize(
    ("status", "remedy"),
    [(400, "takes 4 pictures"), (401, "variable VLM_KEY"), (404, "ends in /v1"), (413, "lower frames=4")],
)
def test_other_errors_are_final_and_say_what_to_do(status, remedy, endpoint, frames, waits, monkeypatch):
    monkeypatch.setenv("VLM_KEY", KEY)
    endpoint.fail(status, f'{{\n "error": {{"message": "no good: {KEY}\\nmore"}}}}'.encode())
    with pytest.raises(CaptionError, match=f"m at {endpoint.url} answered status {status}: no good") as caught:
        EndpointCaptioner(endpoint.url, "m", api_key_env="VLM_KEY").caption(frames)
    assert remedy in str(caught.value)
    assert KEY not in str(caught.value)
    assert "more" not in str(caught.value)
    assert len(endpoint.requests) == 1
    assert waits == []


def test_missing_key_is_named(endpoint, frames):
    endpoint.fail(401, b"who are you?\nsecond line")
    with pytest.raises(CaptionError, match=r"status 401: who are you\?; .*with api_key_env"):
        EndpointCaptioner(endpoint.url, "m").caption(frames)


def test_redirect_is_not_followed_with_the_key(endpoint, frames, monkeypatch):
    monkeypatch.setenv("VLM_KEY", KEY)
    endpoint.fail(302, Location=f"{endpoint.url}/elsewhere")
    with pytest.raises(CaptionError, match=r"redirects to .*/elsewhere"):
        EndpointCaptioner(endpoint.url, "m", api_key_env="VLM_KEY").caption(frames)
    assert len(endpoint.requests) == 1


@pytest.mark.parametrize(
    "body",
    [
        b"<html>welcome</html>",
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"choices": []}',
        b'{"choices": [{"message": null}]}',
        b'{"choices": [{"message": {"content": 5}}]}',
        b"\xff\xfe",
        b"[" * 100_000,
    ],
)
def test_malformed_answer(body, endpoint, frames):
    endpoint.fail(200, body)
    with pytest.raises(CaptionError, match="no chat completion"):
        EndpointCaptioner(endpoint.url, "m").caption(frames)


@pytest.mark.parametrize("reply", ["", " \n ", None])
def test_empty_reply(reply, endpoint, frames):
    endpoint.say(reply)
    with pytest.raises(CaptionError, match="empty caption"):
        EndpointCaptioner(endpoint.url, "m").caption(frames)


def test_too_long_a_reply(endpoint, frames):
    endpoint.say("é" * (LONGEST_BYTES // 2))
    assert len(EndpointCaptioner(endpoint.url, "m").caption(frames)) == LONGEST_BYTES // 2
    endpoint.answers.clear()
    endpoint.say("é" * (LONGEST_BYTES // 2) + "!")
    with pytest.raises(CaptionError, match=r"4097 bytes in UTF-8, above the limit of 4096; ask for fewer words"):
        EndpointCaptioner(endpoint.url, "m").caption(frames)
    endpoint.answers.clear()
    endpoint.fail(200, b" " * (2**20 + 1))
    with pytest.raises(CaptionError, match="more than 1048576 bytes"):
        EndpointCaptioner(endpoint.url, "m").caption(frames)


def test_reply_that_was_cut_off(endpoint, frames):
    endpoint.say("A cat sits on", finish_reason="length")
    with pytest.raises(CaptionError, match=r"cut off.*max_tokens"):
        EndpointCaptioner(endpoint.url, "m", options={"max_tokens": 4}).caption(frames)


def test_reply_that_is_no_text(endpoint, frames):
    endpoint.fail(200, b'{"choices": [{"message": {"content": "\\ud800"}}]}')
    with pytest.raises(CaptionError, match="no Unicode text"):
        EndpointCaptioner(endpoint.url, "m").caption(frames)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"base_url": "localhost:8000/v1"}, r"base_url=localhost:8000/v1 .* http://"),
        ({"base_url": "file:///etc/passwd"}, "base_url=file"),
        ({"base_url": "https://"}, "base_url=https"),
        ({"base_url": "http://host:port/v1"}, "base_url=http"),
        ({"base_url": "http://host/v1\nX: y"}, "base_url=http"),
        ({"base_url": f"https://me:{KEY}@host/v1"}, "not shown"),
        ({"base_url": f"https://host/v1?key={KEY}"}, "not shown"),
        ({"frames": 0}, "frames=0 is below 1"),
        ({"retries": -1}, "retries=-1 is below 0"),
        ({"timeout_s": 0.0}, "timeout_s=0.0 is not above 0"),
        ({"prompt": " "}, "prompt is empty"),
    ],
)
def test_settings_out_of_range(settings, message, frames):
    with pytest.raises(SettingError, match=message) as caught:
        EndpointCaptioner(**{"base_url": "http://host/v1", "model": "m", **settings}).caption(frames)
    assert KEY not in str(caught.value)
