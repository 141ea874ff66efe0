import pytest

from backends import base
from backends.base import BackendError, BackendFailed, ContextOverflow, ModelNotFound, Overloaded, Unsupported
from server.answers import InternalError
from server.statuses import retry_headers, status_of


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (Unsupported, 400),
        (ContextOverflow, 400),
        (ModelNotFound, 404),
        (Overloaded, 503),
        (BackendFailed, 500),
        (InternalError, 500),
    ],
)
def test_a_status_says_who_can_do_something_about_it(kind: type[BackendError], status: int) -> None:
    assert status_of(kind("Sorry.")) == status


def test_every_failure_is_an_error() -> None:
    kinds = [kind for kind in vars(base).values() if isinstance(kind, type) and issubclass(kind, BackendError)]
    assert len(kinds) >= 9
    assert all(400 <= status_of(kind("Sorry.")) < 600 for kind in kinds)


@pytest.mark.parametrize(("seconds", "header"), [(None, {}), (0.01, {"retry-after": "1"}), (2.5, {"retry-after": "3"})])
def test_a_time_to_come_back_is_in_whole_seconds_and_never_at_once(
    seconds: float | None, header: dict[str, str]
) -> None:
    assert retry_headers(Overloaded("Engine overloaded.", retry_after=seconds)) == header
