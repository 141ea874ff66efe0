"""Does the server answer, and everything between here and there let its answers through as they come?"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import httpx
from websockets.exceptions import InvalidStatus, WebSocketException
from websockets.sync.client import connect

from terminal.address import Address
from terminal.api import refusal
from terminal.characters import one_line
from terminal.doctor.findings import Finding, broken, limited, skipped, works

PATIENCE_S = 10.0
EVEN = 0.5  # of the time in which events were sent, they must take to come
PASS_ON = "If there is a proxy in between, it must pass WebSockets on."
PROXY = "A proxy in between holds it back; see docs/operations.md, and open /test-sse in a browser."


def examine(address: Address, *, expected: bool) -> list[Finding]:
    """What can be found out about the server. `expected`: a person said that there is one."""
    with httpx.Client(base_url=address.url, headers=address.headers, timeout=PATIENCE_S) as http:
        try:
            health = http.get("/health")
        except httpx.ConnectError:
            told = f"none answers at {address.url}"
            if expected:
                return [broken("Server", f"{told}.", "Start it with `make serve`, or mend --server.")]
            return [skipped("Server", f"{told}. `make serve` or `python cli.py serve` starts one")]
        except httpx.HTTPError as error:
            return [broken("Server", f"What listens at {address.url} does not answer: {type(error).__name__}.")]
        if not _is_switchboard(health):
            return [broken("Server", f"What listens at {address.url} is no Switchboard.", "Set another PORT.")]
        return [_server(address, health), models(http), websocket(address), events(http)]


def _is_switchboard(health: httpx.Response) -> bool:
    try:
        return health.status_code in (401, 403) or "status" in health.json()
    except (ValueError, TypeError):
        return False


def _server(address: Address, health: httpx.Response) -> Finding:
    if health.is_success:
        return works("Server", f"answers at {address.url}")
    if health.status_code == 503:
        return broken("Server", f"answers at {address.url}, but: {one_line(str(health.json().get('reason', '')))}")
    return broken("Server", refusal(health.status_code, health.content))


def models(http: httpx.Client) -> Finding:
    """Whether some model can answer."""
    try:
        answer = http.get("/api/models")
        if answer.is_error:
            return broken("Models", refusal(answer.status_code, answer.content))
        listed = answer.json()
        ready = [one_line(model["name"]) for model in listed["models"] if model["state"] in ("ready", "available")]
    except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
        return broken("Models", f"The list cannot be had: {type(error).__name__}.")
    if not ready:
        return broken("Models", "None can answer.", "`python cli.py models list` tells why.")
    return works("Models", f"{len(ready)} of {len(listed['models'])} can answer, {one_line(listed['current'])} first")


def websocket(address: Address) -> Finding:
    """Whether a word goes there and back over the WebSocket."""
    try:
        with connect(address.socket(), additional_headers=address.headers, open_timeout=PATIENCE_S) as socket:
            socket.recv(PATIENCE_S)
            began = time.monotonic()
            socket.send(json.dumps({"type": "ping", "cmd_id": "doctor"}))
            while json.loads(socket.recv(PATIENCE_S)).get("type") != "pong":
                pass
            return works("WebSocket", f"there and back in {(time.monotonic() - began) * 1000:.1f} ms")
    except InvalidStatus as refused:
        response = refused.response
        return broken("WebSocket", refusal(response.status_code, bytes(response.body or b"")), PASS_ON)
    except (WebSocketException, OSError, ValueError, TimeoutError) as error:
        told = one_line(str(error)) or type(error).__name__
        return broken("WebSocket", f"does not work: {told}.", PASS_ON)


def events(http: httpx.Client) -> Finding:
    """Whether server-sent events come as they are sent, or all at once when it is over."""
    try:
        with http.stream("GET", "/test-sse", headers={"accept": "text/event-stream"}) as answer:
            if answer.status_code == 401:
                return broken("Event stream", refusal(401, b""))
            if not answer.headers.get("content-type", "").startswith("text/event-stream"):
                return skipped("Event stream", f"cannot be tried: this server has no /test-sse ({answer.status_code})")
            came = list(_arrivals(answer))
    except (httpx.HTTPError, ValueError, KeyError) as error:
        return broken("Event stream", f"broke: {type(error).__name__}.", PROXY)
    sent_s = (came[-1][1] - came[0][1]) / 1000 if came else 0.0
    took_s = came[-1][0] - came[0][0] if came else 0.0
    if len(came) < 2 or took_s < sent_s * EVEN:
        return limited("Event stream", "comes late, all at once.", PROXY)
    return works("Event stream", f"{len(came)} events came one by one, as they were sent")


def _arrivals(answer: httpx.Response) -> Iterator[tuple[float, float]]:
    """Of each event, when it came in seconds, and when it was sent in milliseconds; each on a clock of its own."""
    rest = b""
    for piece in answer.iter_raw():
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            if line.startswith(b"data: {"):
                yield time.monotonic(), float(json.loads(line.removeprefix(b"data: "))["sent"])
