"""A caption from a server that speaks OpenAI's chat completions: OpenAI itself, vLLM, Ollama, llama.cpp, OpenRouter ...

One request shows several frames as JPEG data URLs. The key comes from the
environment and appears in no setting, message or file.
Source: https://platform.openai.com/docs/api-reference/chat/create
"""

import base64
import http.client
import io
import json
import os
import re
import sys
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from time import sleep
from typing import Any
from urllib import request
from urllib.error import HTTPError
from urllib.parse import urlsplit

from PIL import Image
from torch import Tensor

from vov_lightning.captioners.base import DEFAULT_PROMPT, Captioner, check_prompting, spread_pictures
from vov_lightning.captioners.text import tidy_reply
from vov_lightning.errors import CaptionError, SettingError

LONGEST_WAIT_S = 120.0
"""A server that wants more time than this before the next attempt is given up."""
REPLY_BYTES = 2**20
"""A reply is read up to here; a caption is far shorter."""
JPEG_QUALITY = 95


class EndpointCaptioner(Captioner):
    """Asks an OpenAI-compatible server for a vision-language model: ``POST {base_url}/chat/completions``.

    Args:
        base_url: Address of the API, e.g. ``https://api.openai.com/v1`` or ``http://localhost:8000/v1``.
        model: Name of a model there that takes pictures.
        api_key_env: Name of the environment variable that holds the key, e.g. ``OPENAI_API_KEY``; the key itself is
            never a setting. Empty: no key is sent.
        prompt: What is asked of the model.
        frames: Number of frames that it is shown, evenly spaced.
        timeout_s: Seconds without an answer after which an attempt has failed.
        retries: Further attempts after status 429 or 5xx or a failed connection, 1, 2, 4, ... seconds apart, or
            as the server's ``Retry-After`` says.
        options: Further fields of the request, e.g. ``{"temperature": 0, "max_tokens": 300}``.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        api_key_env: str | None = None,
        prompt: str = DEFAULT_PROMPT,
        frames: int = 4,
        timeout_s: float = 60.0,
        retries: int = 4,
        options: dict[str, Any] | None = None,
    ) -> None:
        self.base_url, self.model, self.api_key_env = base_url.rstrip("/"), model, api_key_env
        self.prompt, self.frames, self.timeout_s, self.retries = prompt, frames, timeout_s, retries
        self.options = options or {}

    def caption(self, frames: Tensor) -> str:
        self._check()
        pictures: list[dict[str, Any]] = [
            {"type": "image_url", "image_url": {"url": data_url(picture)}}
            for picture in spread_pictures(frames, self.frames)
        ]
        content = [*pictures, {"type": "text", "text": self.prompt}]
        body = {**self.options, "model": self.model, "messages": [{"role": "user", "content": content}]}
        return tidy_reply(self._parse(self._ask(json.dumps(body).encode())), self._name)

    def _check(self) -> None:
        # Not in the constructor: there jsonargparse would print all settings, and a key that was put into one of them.
        check_prompting(self.prompt, self.frames)
        _check_url(self.base_url)
        if not self.timeout_s > 0:
            raise SettingError(f"timeout_s={self.timeout_s} is not above 0; use 60")
        if self.retries < 0:
            raise SettingError(f"retries={self.retries} is below 0; use 0 for a single attempt")
        if self.api_key_env is not None and not re.fullmatch(r"[A-Za-z_]\w*", self.api_key_env, flags=re.ASCII):
            raise SettingError("api_key_env is no name of a variable; give the name, e.g. OPENAI_API_KEY, not the key")

    @property
    def _name(self) -> str:
        return f"{self.model} at {self.base_url}"

    def _ask(self, body: bytes) -> bytes:
        """The server's answer to ``body``, after as many attempts as it takes and as are allowed."""
        key = self._key()
        for attempt in range(self.retries + 1):
            wait_s = 2.0**attempt
            try:
                return self._post(body, key)
            except HTTPError as error:
                failure = f"status {error.code}: {_summary(error, key)}"
                if error.code != 429 and error.code < 500:
                    raise CaptionError(f"{self._name} answered {failure}; {self._remedy(error)}") from None
                told_s = retry_after_s(error.headers.get("Retry-After"))
                wait_s = wait_s if told_s is None else told_s
            except (OSError, http.client.HTTPException) as error:
                failure = f"no answer: {getattr(error, 'reason', None) or error or type(error).__name__}"
            if attempt == self.retries:
                break
            if wait_s > LONGEST_WAIT_S:
                raise CaptionError(
                    f"{self._name} gave {failure}, and wants {wait_s:.0f} s before the next attempt, more than "
                    f"{LONGEST_WAIT_S:.0f}; run the same command later"
                )
            print(f"{self._name} gave {failure}; again in {wait_s:g} s", file=sys.stderr)
            sleep(wait_s)
        raise CaptionError(
            f"{self._name} gave no caption in {self.retries + 1} attempts; the last one gave {failure}; check base_url "
            f"and the server, or raise retries={self.retries} or timeout_s={self.timeout_s:g}"
        )

    def _post(self, body: bytes, key: str | None) -> bytes:
        headers = {"Content-Type": "application/json", "Accept": "application/json", "User-Agent": "vov_lightning"}
        if key is not None:
            headers["Authorization"] = f"Bearer {key}"
        message = request.Request(f"{self.base_url}/chat/completions", body, headers, method="POST")
        with request.build_opener(_NoRedirect).open(message, timeout=self.timeout_s) as answer:
            return answer.read(REPLY_BYTES + 1)

    def _parse(self, answer: bytes) -> str:
        """Text of the first choice."""
        if len(answer) > REPLY_BYTES:
            raise CaptionError(f"{self._name} answered more than {REPLY_BYTES} bytes; ask for fewer words in prompt")
        try:
            choice = json.loads(answer)["choices"][0]
            reply, reason = choice["message"].get("content"), choice.get("finish_reason")
            if not isinstance(reply, str | None):
                raise TypeError
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            shown = _first_line(_masked(answer, self._key()))
            raise CaptionError(
                f"{self._name} answered something that is no chat completion: {shown}; "
                "check base_url, which mostly ends in /v1"
            ) from None
        if reason == "length":
            raise CaptionError(
                f"{self._name} was cut off at its longest reply; raise max_tokens in options={self.options}, or ask "
                "for fewer words in prompt"
            )
        return reply or ""

    def _key(self) -> str | None:
        if self.api_key_env is None:
            return None
        key = os.environ.get(self.api_key_env, "").strip()
        if not key:
            raise SettingError(
                f"api_key_env={self.api_key_env} is not set in the environment; say export {self.api_key_env}=... "
                "first, or leave api_key_env out for a server without keys"
            )
        if not (key.isascii() and key.isprintable()):  # http.client would print it when it refuses it
            raise SettingError(f"the key in api_key_env={self.api_key_env} is not one line of ASCII; set it again")
        return key

    def _remedy(self, error: HTTPError) -> str:
        if error.code in (401, 403):
            if self.api_key_env is None:
                return "name the environment variable that holds the key with api_key_env"
            return f"check the key in the environment variable {self.api_key_env}, and what it may use"
        if error.code < 400:
            target = _masked(str(error.headers.get("Location")).encode(), self._key()).decode()
            return f"it redirects to {target}; if you trust that, give it as base_url"
        if error.code == 404:
            return f"check base_url, which mostly ends in /v1, and model={self.model}"
        if error.code == 413:
            return f"lower frames={self.frames}"
        return f"check that model={self.model} takes {self.frames} pictures, and options={self.options}"


class _NoRedirect(request.HTTPRedirectHandler):
    """urllib would send the key along to wherever a server points."""

    def redirect_request(self, *_: Any) -> None:
        return None


def data_url(picture: Image.Image) -> str:
    """``picture`` as a ``data:image/jpeg;base64,...`` URL."""
    buffer = io.BytesIO()
    picture.save(buffer, format="JPEG", quality=JPEG_QUALITY, subsampling=0)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def retry_after_s(value: str | None) -> float | None:
    """Seconds that a ``Retry-After`` header asks for (RFC 9110, section 10.2.3), or None where it says nothing.

    Example:
        >>> retry_after_s("7"), retry_after_s("Wed, 21 Oct 2015 07:28:00 GMT"), retry_after_s("soon")
        (7.0, 0.0, None)
    """
    text = (value or "").strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=timezone.utc)
    return max(0.0, (date - datetime.now(timezone.utc)).total_seconds())


def _check_url(base_url: str) -> None:
    try:
        parts = urlsplit(base_url)
        sound = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        sound = False
    if not sound or "@" in base_url or "?" in base_url or "#" in base_url or re.search(r"[\s\x00-\x1f]", base_url):
        shown = base_url if "@" not in base_url and "?" not in base_url else "(not shown, it may hold a secret)"
        raise SettingError(
            f"base_url={shown} is no plain address; wanted http:// or https://, a host and a path, such as "
            "https://api.openai.com/v1; a key goes into the environment variable that api_key_env names"
        )


def _summary(error: HTTPError, key: str | None) -> str:
    """What the server says went wrong: the message in its JSON, else the first line; never the key."""
    try:
        body = error.read(REPLY_BYTES)
    except (OSError, http.client.HTTPException):
        body = b""
    body = _masked(body, key)
    try:
        found = json.loads(body)["error"]
        text = str(found["message"] if isinstance(found, dict) else found)
    except (ValueError, LookupError, TypeError, RecursionError):
        text = _first_line(body) if body.strip() else str(error.reason)
    return _first_line(_masked(text.encode(), key))  # masked before it is cut


def _masked(text: bytes, key: str | None) -> bytes:
    return text.replace(key.encode(), b"***") if key else text


def _first_line(text: bytes, longest: int = 200) -> str:
    lines = text[: 4 * longest].decode("utf-8", errors="replace").strip().splitlines()
    line = "".join(character for character in lines[0] if character.isprintable()) if lines else ""
    return line[:longest] or "(nothing)"
