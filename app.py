"""The composition root: settings in, a running server out. `python app.py` serves.

Everything is put together here and nowhere else; importing this module does nothing.
"""

from __future__ import annotations

import ipaddress
import sys
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

import structlog
from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import DEFAULT_EXCLUDED_CONTENT_TYPES, GZipMiddleware

from backends import create_backend
from backends.base import Backend
from config import ROOT, Settings, SettingsError, load_settings
from server.access.gate import Gate
from server.access.guard import guarded
from server.access.key_file import KeyFileError
from server.access.keyring import Keyring
from server.access.middleware import AccessMiddleware
from server.admission import Admission, is_this_machine
from server.body_limit import BodyLimit, BodyLimitMiddleware
from server.errors import add_error_handlers
from server.history.store import History
from server.hub import Hub
from server.last_resort import LastResort, watch_process
from server.limiting.limiter import RateLimiter
from server.limiting.middleware import RateLimitMiddleware
from server.logs import configure_logs
from server.measures.exposition import Measured
from server.ollama.chat import chat
from server.ollama.lines import NDJSON
from server.openapi.application import DescribedAPI
from server.options import HubOptions
from server.origins import OriginPolicy
from server.process import connections_within, serve
from server.proxied_admission import ProxiedAdmission
from server.proxies import Proxies, TrustedProxies
from server.request_log import RequestLog
from server.routes.buffering import buffering_router
from server.routes.chat import chat_router
from server.routes.chat_completions import chat_completions_router
from server.routes.completions import completions_router
from server.routes.engine import engine_router
from server.routes.generate import generate_router
from server.routes.health import health_router
from server.routes.login import login_router
from server.routes.metrics import metrics_router
from server.routes.models import models_router
from server.routes.ollama import ollama_router
from server.routes.openai_models import openai_models_router
from server.routes.pages import page_routes
from server.routes.requests import requests_router
from server.routes.sessions import sessions_router
from server.routes.stream import stream_router
from server.routes.toggle_thinking import toggle_thinking_router
from server.routes.websocket import chat_socket
from server.security import CORS, SecurityMiddleware
from server.version import VERSION

log = structlog.get_logger()


def create_app(settings: Settings, admission: Admission | None = None) -> FastAPI:
    """Build the application: backends, hub, routes. The hub starts and ends with the application's lifespan.

    `admission`: the count of connections that the server around the application keeps. Raises SettingsError.
    """
    admission = admission or create_admission(settings, settings.max_connections)
    limiter = create_limiter(settings)
    hub = Hub(create_backends(settings), hub_options(settings), open_history=history_opener(settings))
    policy = origin_policy(settings)
    gate = create_gate(settings, policy)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        del app
        await hub.start()
        try:
            async with guarded(gate, hub.connections, hub.running):
                yield
        finally:
            await hub.close()
            await limiter.close()

    app = DescribedAPI(
        title="Switchboard",
        description="Chat with pluggable model backends.",
        version=VERSION,
        docs_url=None,  # its page would load scripts from another origin: ours is one of the pages
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.hub = hub
    app.add_middleware(
        GZipMiddleware,
        minimum_size=1024,
        exclude_content_types=(*DEFAULT_EXCLUDED_CONTENT_TYPES, NDJSON),  # it would gather what should appear at once
    )
    app.add_middleware(BodyLimitMiddleware, max_bytes=settings.max_body_bytes, others=body_limits(settings))
    app.add_middleware(LastResort)
    app.add_middleware(RateLimitMiddleware, limiter=limiter)
    if gate is not None:
        app.add_middleware(AccessMiddleware, gate=gate)
    if policy.origins:
        app.add_middleware(CORSMiddleware, allow_origins=sorted(policy.origins), **CORS)
    app.add_middleware(ProxiedAdmission, admission=admission)
    app.add_middleware(SecurityMiddleware, policy=policy)
    statuses = Counter[int]()
    app.add_middleware(RequestLog, statuses=statuses)
    app.add_middleware(Proxies, trusted=trusted_proxies(settings))
    add_error_handlers(app)
    app.router.routes.append(chat_socket(hub, policy, limiter))  # before the routers, each of which is asked in turn
    app.include_router(health_router(hub))
    app.include_router(login_router(gate, hub.connections))
    app.include_router(metrics_router(Measured(hub, limiter, admission, statuses)))
    app.include_router(models_router(hub))
    app.include_router(engine_router(hub))
    app.include_router(sessions_router(hub))
    app.include_router(completions_router(hub))
    app.include_router(chat_completions_router(hub))
    app.include_router(openai_models_router(hub))
    app.include_router(requests_router(hub))
    app.include_router(generate_router(hub))
    app.include_router(chat_router(hub, converse=chat))
    app.include_router(toggle_thinking_router(hub))
    app.include_router(ollama_router(hub))
    app.include_router(stream_router(hub))
    app.include_router(buffering_router(ROOT / "static"))
    app.router.routes += page_routes(ROOT / "static")
    return app


def create_backends(settings: Settings) -> list[Backend]:
    """The backends that the settings name, in their order. Raises SettingsError for one that is not there."""
    options: dict[str, dict[str, object]] = {
        "pytorch": {
            "model_path": settings.path(settings.model_path),
            "model_dir": settings.path(settings.model_dir),
            "tokenizer_path": settings.path(settings.tokenizer_path) if settings.tokenizer_path else None,
            "max_batch_size": settings.max_batch_size,
            "max_queue_size": settings.max_queue_size,
            "threads": settings.torch_threads,
            "kernels": settings.kernels,
            "kv_tokens": settings.kv_tokens,
            "kv_dtype": settings.kv_dtype,
            "speculation": settings.speculation,
        },
        "ollama": {
            "host": settings.ollama_host,
            "model": settings.ollama_model,
            "num_ctx": settings.ollama_num_ctx,
        },
        "openai": {
            "host": settings.openai_host,
            "key": settings.openai_api_key.get_secret_value(),
            "model": settings.openai_model,
        },
    }
    backends = []
    for spec in settings.backends:
        if settings.backends.count(spec) > 1:
            raise SettingsError(f"BACKENDS names {spec} more than once.")
        if spec == "openai" and not settings.openai_host:
            continue
        try:
            backends.append(create_backend(spec, **options.get(spec, {})))
        except ValueError as error:
            raise SettingsError(f"The backend {spec} of BACKENDS cannot be used: {error}") from error
    if not backends:
        raise SettingsError("BACKENDS leaves no backend: name another one, or say by OPENAI_HOST where openai is.")
    return backends


def history_opener(settings: Settings) -> Callable[[], Awaitable[History]] | None:
    """What opens the history that the settings name; None when nothing is to be kept."""
    if settings.database_url == "off":
        return None
    return lambda: History.open(settings.database_url, ROOT)


def origin_policy(settings: Settings) -> OriginPolicy:
    """The hosts and origins that the settings name. Raises SettingsError for what is no origin."""
    try:
        return OriginPolicy(settings.host, settings.port, settings.allowed_hosts, settings.allowed_origins)
    except ValueError as error:
        raise SettingsError(f"ALLOWED_ORIGINS cannot be used: {error}. Mend it in .env.") from error


def trusted_proxies(settings: Settings) -> TrustedProxies:
    """The proxies that the settings name. Raises SettingsError for one that is no address and no network."""
    try:
        return TrustedProxies(settings.trusted_proxies)
    except ValueError as error:
        raise SettingsError(f"TRUSTED_PROXIES cannot be used: {error}. Mend it in .env.") from error


def create_admission(settings: Settings, connections: int) -> Admission:
    """The count of connections. Trusted proxies have as many as they need: those they speak for are counted apart."""
    trusted = trusted_proxies(settings)
    return Admission(
        connections,
        settings.max_connections_per_client,
        spared=lambda address: is_this_machine(address) or address in trusted,
    )


def create_limiter(settings: Settings) -> RateLimiter:
    """The rate limit that the settings ask for. Raises SettingsError."""
    try:
        return RateLimiter(
            settings.rate_limit, settings.rate_limit_store, loopback=settings.rate_limit_loopback == "on"
        )
    except ValueError as error:
        raise SettingsError(f"RATE_LIMIT or RATE_LIMIT_STORE cannot be used: {error}. Mend it in .env.") from error


def hub_options(settings: Settings) -> HubOptions:
    """The part of the settings that the hub works by."""
    shared = {name: getattr(settings, name) for name in HubOptions.__dataclass_fields__ if hasattr(settings, name)}
    expected = {"ollama": settings.ollama_model, "openai": settings.openai_model}
    return HubOptions(**shared, expected_models=expected)


def body_limits(settings: Settings) -> dict[str, BodyLimit]:
    """How large bodies may be where that is another limit than everywhere else."""
    return {"/api/import": BodyLimit(settings.max_import_bytes, "MAX_IMPORT_BYTES")}


def create_gate(settings: Settings, policy: OriginPolicy) -> Gate | None:
    """What asks callers for a key; None where nobody is asked. Raises SettingsError for keys that cannot be read."""
    if not asks_for_keys(settings):
        return None
    try:
        return Gate(settings.path(settings.keys_file), policy)
    except KeyFileError as error:
        raise SettingsError(str(error)) from error


def asks_for_keys(settings: Settings) -> bool:
    """Whether callers must show a key: by default where other machines can come."""
    return settings.auth == "on" or (settings.auth == "auto" and not is_loopback(settings.host))


def check_exposure(settings: Settings) -> None:
    """Refuse to ask for keys while there is none: nobody could come in. Raises SettingsError."""
    if not asks_for_keys(settings):
        return
    try:
        if len(Keyring(settings.path(settings.keys_file))):
            return
    except KeyFileError as error:
        raise SettingsError(str(error)) from error
    why = "AUTH=on asks for a key" if settings.auth == "on" else f"HOST={settings.host} lets other machines in"
    raise SettingsError(
        f"{why}, and there is no key yet. Make one: python -m server.access.keys add me --admin. Or use HOST=127.0.0.1 "
        "with AUTH=auto; or set AUTH=off, if something else, such as a container's published port, keeps strangers out."
    )


def warn_of_an_open_door(settings: Settings) -> None:
    """Say so where a proxy brings others in and nobody is asked for a key, in case nobody has thought of it."""
    if settings.trusted_proxies and settings.auth == "auto" and not asks_for_keys(settings):
        log.warning(
            "TRUSTED_PROXIES names a proxy, and whoever comes through it is let in. AUTH=on asks them for a key."
        )


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def main() -> int:
    """Serve until told to stop. The exit status is 2 when a setting cannot be used."""
    try:
        settings = load_settings()
        check_exposure(settings)
        configure_logs(settings.log_level, form=settings.log_format)
        watch_process()
        log.info("🚀 Starting Switchboard")
        log.info("configuration", **settings.effective())
        warn_of_an_open_door(settings)
        admission = create_admission(settings, connections_within(settings.max_connections))
        app = create_app(settings, admission)
        return serve(app, settings.host, settings.port, settings.max_frame_bytes, admission, drain=app.state.hub.drain)
    except SettingsError as error:
        print(f"Switchboard cannot start. {error}", file=sys.stderr)  # noqa: T201
        return 2
    except KeyboardInterrupt:  # before there was anything to bring to an end
        return 130


if __name__ == "__main__":
    sys.exit(main())
