"""Where pip, as it is set up on this machine, would take a package from, and how it would get there.

Knows pip's command line and configuration; knows nothing about what the package is for. Standard library only.
"""

from __future__ import annotations

import json
import os
import shutil
import ssl
import subprocess
import sys
import urllib.parse
import urllib.request
from dataclasses import dataclass
from pathlib import Path

UNREACHABLE = ("Retrying (", "NewConnectionError", "ConnectTimeout", "ProxyError")


class PackageNotFound(Exception):
    """pip does not find the package. The message says why."""


@dataclass(slots=True, frozen=True)
class Wheel:
    """Where a package's file lies, and its hash as the index gives it."""

    url: str
    sha256: str | None


def locate(requirement: str) -> Wheel:
    """Ask pip where it would take `requirement` from. Nothing is installed. Raises PackageNotFound."""
    arguments = ["--dry-run", "--no-deps", "--ignore-installed", "--only-binary", ":all:", "--report", "-"]
    result = _pip("--retries", "2", "--timeout", "20", "--quiet", "install", *arguments, requirement)
    if result.returncode:
        raise PackageNotFound(_why_pip_failed(requirement, result.stderr))
    info = json.loads(result.stdout)["install"][0]["download_info"]
    return Wheel(info["url"], info["archive_info"].get("hashes", {}).get("sha256"))


def pip_download(requirement: str, target: Path) -> bool:
    """Let pip itself bring the wheel of `requirement` into the file `target`. False when it cannot."""
    folder = target.with_suffix(".pip")
    try:
        arguments = ["--no-deps", "--only-binary", ":all:", "--dest", str(folder)]
        result = _pip("--quiet", "download", *arguments, requirement)
        for wheel in folder.glob("*.whl"):
            wheel.replace(target)
            return result.returncode == 0
        return False
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def opener_for(url: str) -> urllib.request.OpenerDirector:
    """What opens `url` through pip's proxy and with the certificates that pip trusts."""
    proxy = _pip_option("proxy")
    handlers: list[urllib.request.BaseHandler] = [urllib.request.HTTPSHandler(context=_tls(url))]
    if proxy:
        handlers.append(urllib.request.ProxyHandler({"http": proxy, "https": proxy}))
    return urllib.request.build_opener(*handlers)


def _tls(url: str) -> ssl.SSLContext:
    trusted = _pip_option("trusted-host").replace("\\n", " ").split()
    if urllib.parse.urlsplit(url).hostname in [entry.split(":")[0] for entry in trusted]:
        return ssl._create_unverified_context()
    bundle = _pip_option("cert") or os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")
    return ssl.create_default_context(cafile=bundle or None)


def _why_pip_failed(requirement: str, stderr: str) -> str:
    if any(word in stderr for word in UNREACHABLE):
        return "No package index could be reached. Connect to the network once, or set up pip's proxy, and try again."
    if "No module named pip" in stderr:
        return f"{sys.executable} has no pip. Run make clean and try again."
    reasons = [line.removeprefix("ERROR: ") for line in stderr.splitlines() if line.startswith("ERROR:")]
    return f"pip finds no {requirement}: {reasons[-1] if reasons else 'it gave no reason'}"


def _pip(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def _pip_option(name: str) -> str:
    """An option as pip's configuration or environment sets it (the environment wins), or an empty string."""
    found = {}
    for line in _pip("config", "list").stdout.splitlines():
        key, _, value = line.partition("=")
        section, _, option = key.rpartition(".")
        if option == name:
            found[section] = value.strip().strip("'\"")
    return found.get(":env:") or found.get("global") or found.get("install") or ""
