"""What an OpenAI-compatible server's refusals mean, in our tree of errors and in sentences. Does no I/O.

Servers agree on the statuses and on little else: `code` is a word here and a number there, and an error in the middle
of a stream has no status but the one it names.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection

from backends.base import (
    BackendError,
    BackendFailed,
    BackendTimeout,
    BackendUnreachable,
    ContextOverflow,
    ModelNotFound,
    Overloaded,
    Unsupported,
)
from backends.fields import JsonObject, object_at, objects_at, text_at
from backends.http import StatusError, error_text
from backends.wording import CONTEXT, MEMORY, clean

RETRY_AFTER = 5.0  # seconds, where the server does not say

_TOO_LONG = {"context_length_exceeded", "exceed_context_size_error"}
_NOT_FOR_PROMPTS = re.compile(r"not (?:supported|available) in the .*completions? endpoint|chat model", re.IGNORECASE)
_NO_CREDIT = re.compile(r"insufficient[_ ](?:quota|balance|credit)|exceeded your current quota", re.IGNORECASE)


def refused(error: StatusError, model: str = "") -> BackendError:
    """What a status other than 200 means for a request that named `model` ("" for none)."""
    told = _meaning(error.status, error.text, error.answer, model, error.retry_after, is_page=error.is_page)
    told.add_note(f"The model server answered with status {error.status}: {error.text!r}")
    return told


def broke(record: JsonObject, model: str) -> BackendError:
    """What an error in a stream means. It may also come alone, under the status 200."""
    code = object_at(record, "error").get("code") or record.get("code")
    status = code if isinstance(code, int) else 0
    told = _meaning(status, error_text(record), record, model, None)
    told.add_note(f"The model server sent the error {json.dumps(record)[:2000]}")
    return told


def field_refused(error: StatusError, names: Collection[str]) -> str | None:
    """Which of the fields that were sent the server will not have; None when that is not what it says.

    It names the field in `param`, as the place of a failed validation, or somewhere in a sentence.
    """
    if error.status not in (400, 422) or _overflows(error.text, error.answer):
        return None
    param = object_at(error.answer, "error").get("param") or error.answer.get("param")
    places = [place for problem in _problems(error.answer) for place in _strings_of(problem.get("loc"))]
    for told in (param, *places):
        if isinstance(told, str) and (name := re.split(r"[.\[]", told)[0]) in names:
            return name
    return next((name for name in names if _names(error.text, name)), None)


def model_missing(model: str) -> ModelNotFound:
    """For a model the server does not have."""
    return ModelNotFound(f"The model server has no model {model}. Pick one from the list.")


def _meaning(
    status: int, text: str, answer: JsonObject, model: str, retry_after: float | None, *, is_page: bool = False
) -> BackendError:
    if _overflows(text, answer) or status == 413:
        return ContextOverflow(f"The conversation is longer than {model or 'the model'} can read. Shorten it.")
    if _NO_CREDIT.search(f"{text} {_words(answer)}") or status == 402:
        return BackendFailed("The account at the model server has no credit left. Pick another model, or add some.")
    if status in (401, 403):
        return _not_let_in(status)
    if status in (404, 405) or 300 <= status < 400:
        return _not_found(status, text, answer, model, is_page=is_page)
    if status in (429, 503, 529) or "overloaded" in _words(answer):
        message = "The model server has too many requests waiting, or is still loading. Try again in a moment."
        return Overloaded(message, retry_after=retry_after or RETRY_AFTER)
    if status in (408, 504):
        return BackendTimeout("The model server did not answer in time. Try again.")
    if status in (502, 521, 522, 523):
        return BackendUnreachable("What stands before the model server cannot reach it. Check that it runs.")
    if MEMORY.search(text):
        return BackendFailed(f"The model server has too little memory for {model or 'the model'}. Pick a smaller one.")
    if 400 <= status < 500:
        return BackendFailed(f"The model server refused the request: {clean(text)}.")
    return BackendFailed(f"The model server failed: {clean(text)}. Try again; if it stays so, look into its log.")


def _not_let_in(status: int) -> BackendFailed:
    if status == 401:
        return BackendFailed("The model server did not accept our key. Set OPENAI_API_KEY to one it knows.")
    return BackendFailed(
        "The model server does not let our key use this model. Pick another one, or check OPENAI_API_KEY."
    )


def _not_found(status: int, text: str, answer: JsonObject, model: str, *, is_page: bool) -> BackendError:
    if _NOT_FOR_PROMPTS.search(text):
        message = f"The model {model} answers chats alone, and takes no raw prompt. Send messages instead."
        return Unsupported(message, field="prompt")
    speaks_of_models = "model" in f"{text} {_words(answer)}".lower()
    if status == 404 and model and speaks_of_models and not is_page:
        return model_missing(model)
    return BackendFailed(
        "What answers at OPENAI_HOST has no OpenAI-compatible API there. Check the address: it often ends in /v1."
    )


def _overflows(text: str, answer: JsonObject) -> bool:
    return CONTEXT.search(text) is not None or not _TOO_LONG.isdisjoint(_labels(answer))


def _labels(answer: JsonObject) -> set[str]:
    """The words for programs that the error carries."""
    return {
        text_at(source, key) for source in (answer, object_at(answer, "error")) for key in ("type", "code", "param")
    }


def _words(answer: JsonObject) -> str:
    return " ".join(sorted(_labels(answer)))


def _problems(answer: JsonObject) -> list[JsonObject]:
    """The failed validations that servers built on pydantic list."""
    return objects_at(answer, "detail") or objects_at(object_at(answer, "message"), "detail")


def _strings_of(places: object) -> list[str]:
    return [place for place in places if isinstance(place, str)] if isinstance(places, list) else []


def _names(text: str, name: str) -> bool:
    """Whether a sentence is about the field: in quotes, as an argument, or by a name that is no word of a language."""
    word = re.escape(name)
    if "_" in name:
        return re.search(rf"(?<!\w){word}(?!\w)", text) is not None
    about = rf"['\"`]{word}['\"`]|(?:argument|parameter|field|property)s?\b[^.]*?\b{word}\b"
    return re.search(about, text, re.IGNORECASE) is not None
