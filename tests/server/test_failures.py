"""An answer that fails: the headline tells people what to look at, and the log says which answer it was."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from server.failures import failure_text, log_failure


@pytest.mark.parametrize("code", ["model_not_found", "model_invalid", "backend_unreachable"])
def test_without_a_model_people_are_told_so_and_the_log_is_warned(code: str) -> None:
    assert failure_text(code, "Nobody answers.") == "🔴 **Model not loaded**\n\nNobody answers."
    with capture_logs() as lines:
        log_failure("m1", code, "Nobody answers.")
    assert lines == [
        {"log_level": "warning", "event": "No model available for message m1", "reason": "Nobody answers."}
    ]


@pytest.mark.parametrize("code", ["backend_error", "backend_timeout", "overloaded", "internal"])
def test_any_other_failure_is_an_error(code: str) -> None:
    assert failure_text(code, "It broke.") == "⚠️ **Model generation failed**\n\nIt broke."
    with capture_logs() as lines:
        log_failure("m1", code, "It broke.")
    assert lines == [{"log_level": "error", "event": "Model generation failed: It broke.", "code": code}]
