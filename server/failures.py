"""What people are told, and the log, when an answer fails: in Markdown, with a headline that says what to look at."""

from __future__ import annotations

import structlog

NO_MODEL = ("model_not_found", "model_invalid", "backend_unreachable")

log = structlog.get_logger()


def failure_text(code: str, message: str) -> str:
    """Why an answer failed, for clients that know texts and no errors."""
    headline = "🔴 **Model not loaded**" if code in NO_MODEL else "⚠️ **Model generation failed**"
    return f"{headline}\n\n{message}"


def log_failure(answer: str, code: str, message: str) -> None:
    """The answer of that id failed."""
    if code in NO_MODEL:
        log.warning(f"No model available for message {answer}", reason=message)
    else:
        log.error(f"Model generation failed: {message}", code=code)
