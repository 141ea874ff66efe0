"""The backends by name. An import string resolves when first used, so a missing library costs nothing."""

from __future__ import annotations

from importlib import import_module

from backends.base import Backend

BACKENDS: dict[str, str] = {
    "pytorch": "backends.pytorch:PyTorchBackend",
    "ollama": "backends.ollama:OllamaBackend",
    "openai": "backends.openai:OpenAIBackend",
    "echo": "backends.echo:EchoBackend",
}


def create_backend(spec: str, **options: object) -> Backend:
    """Make the backend that `spec` names: a key of `BACKENDS`, or an import string `package.module:Class`.

    `options` go to its constructor. Raises ValueError, with what to do, when there is no such backend.
    """
    path = BACKENDS.get(spec, spec)
    module_name, _, class_name = path.partition(":")
    if not class_name:
        raise ValueError(f"There is no backend {spec!r}. Use one of {', '.join(BACKENDS)}, or package.module:Class.")
    try:
        backend_class = getattr(import_module(module_name), class_name)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"The backend {spec!r} cannot be imported: {error}.") from error
    if not (isinstance(backend_class, type) and issubclass(backend_class, Backend)):
        raise ValueError(f"The backend {spec!r} is not a subclass of backends.base.Backend.")
    return backend_class(**options)
