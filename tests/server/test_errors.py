from fastapi import FastAPI
from fastapi.testclient import TestClient

from server.errors import add_error_handlers
from server.security import SECURITY_HEADERS


def test_a_failure_of_ours_says_nothing_of_itself_and_carries_the_security_headers() -> None:
    app = FastAPI()
    add_error_handlers(app)

    @app.get("/")
    async def fail() -> None:
        raise RuntimeError("/a/secret/path")

    answer = TestClient(app, raise_server_exceptions=False).get("/")
    assert answer.status_code == 500
    assert answer.json() == {"success": False, "error": "Something went wrong in the server. Its log says what."}
    assert SECURITY_HEADERS.items() <= answer.headers.items()
