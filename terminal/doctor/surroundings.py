"""What is around a server on this machine: its port, Ollama, and who may come in."""

from __future__ import annotations

import ipaddress
import json
import socket
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import httpx

from terminal.doctor.findings import Finding, broken, limited, skipped, works
from terminal.doctor.installation import PATIENCE_S, ROOT

OLLAMA = "127.0.0.1:11434"
CONNECT_S = 2.0
KEYS = "`python cli.py keys add NAME` makes one"


def port(host: str, number: int) -> Finding:
    """Whether a server could listen there. Only asked where no Switchboard answers."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host.strip("[]"), number))
    except OSError as error:
        told = f"{host}:{number} cannot be listened on: {error.strerror}."
        return broken("Port", told, "End the program that has it, or set another PORT.")
    return works("Port", f"{host}:{number} is free")


def ollama(configured: str) -> Finding:
    """Whether an Ollama server answers. `configured` is the setting OLLAMA_HOST."""
    host = configured or OLLAMA
    url = host if "://" in host else f"http://{host}"
    try:
        answer = httpx.get(f"{url.rstrip('/')}/api/version", timeout=CONNECT_S)
        version = str(answer.raise_for_status().json()["version"])
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError, TypeError):
        if configured:
            return broken("Ollama", f"Nothing answers at OLLAMA_HOST={configured}.", "Start it: ollama serve.")
        return skipped("Ollama", "none here; none is needed")
    return works("Ollama", f"{version} at {host}; its models are listed beside the others")


def authentication(settings: Mapping[str, Any]) -> Finding:
    """Who may come in, as the settings have it."""
    host, auth = str(settings["HOST"]), settings.get("AUTH", "auto")
    keys = _keys()
    if auth == "off":
        if _is_loopback(host):
            return works("Access", "whoever is on this machine, without a key")
        return limited("Access", f"AUTH=off: whoever reaches {host} comes in.", f"Set AUTH=auto; {KEYS}.")
    if auth == "auto" and _is_loopback(host):
        return works("Access", f"whoever is on this machine; other machines are not let in (HOST={host})")
    if not keys:
        return broken("Access", "A key is wanted, and there is none: the server does not start.", f"{KEYS}.")
    return works("Access", "whoever shows the one key" if keys == 1 else f"whoever shows one of {keys} keys")


def _keys() -> int:
    """How many keys there are; 0 where nobody can say."""
    command = [sys.executable, "-m", "server.access.keys", "list", "--json"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    try:
        return len(json.loads(ran.stdout)["keys"])
    except (ValueError, TypeError, KeyError):
        return 0


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
