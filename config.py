"""Every setting, its type and default: one field a line of `.env`. Read once, by app.py."""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from dotenv import dotenv_values
from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

ROOT = Path(__file__).resolve().parent
EMBEDDED_MODEL = "models/SmolLM2-135M-Instruct.Q4_1.gguf"
SYSTEM_PROMPT = "You are a helpful AI assistant. Provide clear, concise responses."
USERINFO = re.compile(r"(?<=://)[^/\s]*@|^[^/\s]+@")  # user:password@ before a host

CommaList = Annotated[list[str], NoDecode]
PositiveInt = Annotated[int, Field(gt=0)]


class SettingsError(Exception):
    """A setting that cannot be used. The message names it and says what to do."""


class Settings(BaseSettings):
    """The settings. The process environment wins over `.env.local`, which wins over `.env`."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True)

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535, validation_alias=AliasChoices("PORT", "FASTAPI_PORT"))] = 8000
    backends: CommaList = ["pytorch", "ollama", "openai"]
    model_path: str = EMBEDDED_MODEL
    tokenizer_path: str = ""
    model_dir: str = "models"
    ollama_host: str = ""
    ollama_model: str = ""
    ollama_num_ctx: PositiveInt | None = None
    openai_host: str = ""
    openai_api_key: SecretStr = SecretStr("")
    openai_model: str = ""
    max_tokens: PositiveInt = 200
    system_prompt: str = SYSTEM_PROMPT
    max_batch_size: PositiveInt = 16
    max_queue_size: PositiveInt = 256
    torch_threads: Annotated[int, Field(ge=0)] = 0
    kernels: Literal["auto", "off"] = "auto"
    kv_tokens: PositiveInt | None = None
    kv_dtype: Literal["auto", "float32", "bfloat16", "int8"] = "auto"
    speculation: Literal["auto", "off"] = "auto"
    database_url: str = "sqlite:///data/switchboard.db"
    stream_flush_ms: Annotated[int, Field(ge=0, le=500)] = 40
    detach_timeout_s: Annotated[float, Field(gt=0)] = 600
    window_events: PositiveInt = 10_000
    window_bytes: PositiveInt = 4 * 1024 * 1024
    window_s: Annotated[float, Field(ge=0)] = 300
    subscriber_bytes: PositiveInt = 256 * 1024
    flush_interval_ms: Annotated[int, Field(ge=0, le=10_000)] = 250
    max_frame_bytes: PositiveInt = 65_536
    max_message_chars: PositiveInt = 32_000
    max_body_bytes: PositiveInt = 1024 * 1024
    max_import_bytes: PositiveInt = 64 * 1024 * 1024
    max_connections: PositiveInt = 4096
    max_connections_per_client: PositiveInt = 512
    trusted_proxies: CommaList = []
    rate_limit: str = "100/minute"
    rate_limit_store: str = "memory://"
    rate_limit_loopback: Literal["on", "off"] = "off"
    request_timeout_s: Annotated[float, Field(gt=0)] = 300
    drain_timeout_s: Annotated[float, Field(ge=0)] = 30
    allowed_origins: CommaList = []
    allowed_hosts: CommaList = []
    auth: Literal["auto", "on", "off"] = "auto"
    keys_file: str = "data/keys.json"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["auto", "console", "json"] = "auto"

    @field_validator("backends", "trusted_proxies", "allowed_origins", "allowed_hosts", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    @field_validator("ollama_num_ctx", "kv_tokens", mode="before")
    @classmethod
    def _empty_is_unset(cls, value: object) -> object:
        return None if value == "" else value

    @field_validator("log_level", mode="before")
    @classmethod
    def _lower(cls, value: object) -> object:
        return value.lower() if isinstance(value, str) else value

    def path(self, value: str) -> Path:
        """A path of the settings, taken from the project's folder when it is relative."""
        return ROOT / value

    def effective(self) -> dict[str, Any]:
        """Every setting as it is in force, by its name in `.env`; keys, and passwords in addresses, are masked."""
        return {name.upper(): _shown(value) for name, value in self}


def _shown(value: object) -> object:
    if isinstance(value, SecretStr):
        return str(value)  # stars
    return USERINFO.sub("***@", value) if isinstance(value, str) else value


def load_settings(*files: Path) -> Settings:
    """Read the settings from the environment and the `files`, the later ones winning; by default `.env`, `.env.local`.

    Raises SettingsError for a key of a file that is not a setting, and for a value that does not fit.
    """
    files = files or (ROOT / ".env", ROOT / ".env.local")
    for file in files:
        _check_keys(file)
    try:
        return Settings(_env_file=files)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"]).upper()
        raise SettingsError(f"{key}={first['input']} cannot be used: {first['msg']}. Mend it in .env.") from error


def _known_keys() -> set[str]:
    return {name.upper() for name in Settings.model_fields} | {"FASTAPI_PORT"}


def _check_keys(file: Path) -> None:
    known = _known_keys()
    for key in dotenv_values(file) if file.exists() else {}:
        if key.upper() not in known:
            close = difflib.get_close_matches(key.upper(), known, n=1)
            hint = f" Did you mean {close[0]}?" if close else " Remove it, or see .env for the settings there are."
            raise SettingsError(f"{file.name} has a key that is no setting: {key}.{hint}")
