"""The checks of verify.sh that read JSON or speak WebSocket: `python3 -m tools.verify models|websocket|ollama URL`.

Each prints one line about what it found and exits with 1 when that is not well. Standard library only, and no newer
than the Python that old long-term distributions have.
"""

from __future__ import annotations

import json
import os
import re
import socket
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from tools.websocket_client import WebSocketClient, WebSocketError

ROOT = Path(__file__).resolve().parent.parent
QUESTION = "What is the capital of France? Answer in one sentence."
ANSWER_TOKENS = 48
ANSWER_TIMEOUT_S = 120
LOADING_TIMEOUT_S = 60
OLLAMA_PORT = 11434
UNAUTHORIZED = 401


class CheckFailed(Exception):
    """What is not as it should be, in one line."""


def models(url: str) -> str:
    """Some model is ready, or will be within a minute."""
    deadline = time.monotonic() + LOADING_TIMEOUT_S
    while True:
        listed = _models(url)["models"]
        ready = [model["name"] for model in listed if model["state"] in ("ready", "available")]
        if ready:
            return f"{len(ready)} of {len(listed)} can answer: {', '.join(ready[:4])}"
        if not any(model["state"] == "loading" for model in listed) or time.monotonic() > deadline:
            break
        time.sleep(1)
    reasons = [f"{model['name']} is {model['state']} ({model.get('reason', 'no reason given')})" for model in listed]
    raise CheckFailed("no model is ready. " + ("; ".join(reasons) or "The list of models is empty"))


def websocket(url: str) -> str:
    """A question over the WebSocket is answered."""
    command = {"type": "user", "message": QUESTION, "cmd_id": "verify", "params": {"max_tokens": ANSWER_TOKENS}}
    began = time.monotonic()
    first = 0.0
    with WebSocketClient(f"{url}/ws", timeout=ANSWER_TIMEOUT_S, headers=_key()) as client:
        client.send(json.dumps(command))
        while time.monotonic() < began + ANSWER_TIMEOUT_S:
            message = json.loads(client.receive())
            if message["type"] == "error":
                raise CheckFailed(f"the answer is an error: {message['message']}")
            if message["type"] == "delta":
                first = first or time.monotonic() - began
            if message["type"] == "ai":
                return _describe(message, first)
    raise CheckFailed(f"no answer within {ANSWER_TIMEOUT_S} s")


def ollama(url: str) -> str:
    """Ollama is up and has its model, if one is configured here or on the server."""
    host, wanted = setting("OLLAMA_HOST"), setting("OLLAMA_MODEL")
    if host and _refuses(host):
        raise CheckFailed(f"Ollama is configured but down: nothing answers at OLLAMA_HOST={host}")
    listed = [model for model in _models(url)["models"] if model["backend"] == "ollama"]
    down = [model for model in listed if model["state"] == "unreachable"]
    if down:
        raise CheckFailed(f"Ollama is configured but down: {down[0].get('reason', 'no reason given')}")
    if not listed and (host or wanted):
        raise CheckFailed(f"OLLAMA_{'HOST' if host else 'MODEL'} is set, but the server lists no model of Ollama's")
    names = [model["name"].partition("/")[2] for model in listed]
    if wanted and wanted not in names and f"{wanted}:latest" not in names:
        raise CheckFailed(f"Ollama does not have OLLAMA_MODEL={wanted}; it has {', '.join(names)}")
    return f"has {', '.join(names)}" if names else "not configured, nothing to check"


def setting(name: str) -> str:
    """A setting from the environment, .env.local or .env, or an empty string."""
    if name in os.environ:
        return os.environ[name]
    for file in (ROOT / ".env.local", ROOT / ".env"):
        lines = file.read_text().splitlines() if file.exists() else []
        for line in reversed(lines):
            match = re.match(rf"\s*{name}=([^#\s]*)", line)
            if match:
                return match[1].strip("\"'")
    return ""


def _refuses(host: str) -> bool:
    """Whether nobody listens at OLLAMA_HOST. A name that only the server knows, as in a container, proves nothing."""
    parts = urllib.parse.urlsplit(host if "://" in host else f"http://{host}")
    try:
        socket.create_connection((parts.hostname or "127.0.0.1", parts.port or OLLAMA_PORT), timeout=5).close()
    except socket.gaierror:
        return False
    except OSError:
        return True
    return False


def _models(url: str) -> dict[str, Any]:
    try:
        with urllib.request.urlopen(
            urllib.request.Request(f"{url}/api/models", headers=_key()), timeout=10
        ) as response:
            answer: dict[str, Any] = json.load(response)
            return answer
    except urllib.error.HTTPError as error:
        with error:
            if error.code == UNAUTHORIZED:
                raise CheckFailed("the server asks for a key: set SWITCHBOARD_KEY to one") from error
            raise


def _key() -> dict[str, str]:
    """What shows the key, for a server that asks for one."""
    key = setting("SWITCHBOARD_KEY")
    return {"Authorization": f"Bearer {key}"} if key else {}


def _describe(answer: dict[str, Any], first: float) -> str:
    text = " ".join(answer["message"].split())
    if not text:
        raise CheckFailed("the answer is empty")
    shown = text if len(text) <= 60 else f"{text[:59]}…"
    return f"{answer['model']} began after {first:.1f} s: “{shown}”"


CHECKS = {"models": models, "websocket": websocket, "ollama": ollama}


def main(arguments: list[str]) -> int:
    """Run one check; 0 when all is well."""
    name, url = arguments
    try:
        print(CHECKS[name](url))
    except (CheckFailed, WebSocketError, OSError, KeyError, ValueError) as problem:
        print(
            f"{problem}"
            if isinstance(problem, (CheckFailed, WebSocketError))
            else f"{type(problem).__name__}: {problem}"
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
