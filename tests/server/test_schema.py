from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from backends.base import BackendFailed, Canvas, Done, Loading, ModelsChanged, Progress, Reasoning, Stats
from server.schema import protocol_schema, protocol_schema_text
from tests.server.doubles import Puppet
from tests.server.serving import joined, serving

DOCUMENT = Path(__file__).parents[2] / "docs" / "protocol.schema.json"


def side(name: str) -> Draft202012Validator:
    """A validator of what one side may send."""
    schema = protocol_schema()
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator({"$ref": f"#/$defs/{name}", "$defs": schema["$defs"]})


def test_the_document_is_what_the_models_say():
    text = DOCUMENT.read_text()
    assert text == protocol_schema_text(), "run: python -m server.schema > docs/protocol.schema.json"


@pytest.mark.parametrize(
    "frame",
    [
        {"message": "Hello"},
        {"type": "user", "message": "Hello", "cmd_id": "1", "params": {"temperature": 0.5}, "think": True},
        {"type": "stop"},
        {"type": "queue_remove", "id": "x"},
        {"type": "ping", "cmd_id": "1"},
    ],
)
def test_commands_are_valid(frame: dict[str, object]):
    side("client").validate(frame)


@pytest.mark.parametrize(
    ("name", "frame"),
    [
        ("client", {"type": "dance"}),
        ("client", {"type": "user"}),
        ("client", {"type": "user", "message": "x", "params": {"temperature": 9}}),
        ("server", {"type": "pong", "surprise": 1}),
        ("server", {"type": "typing", "id": "x"}),
        ("server", {"message": "no type"}),
    ],
)
def test_what_is_not_the_protocol_is_not_valid(name: str, frame: dict[str, object]):
    assert not side(name).is_valid(frame)


class Measured(Puppet):
    """A puppet with an engine's numbers."""

    def stats(self) -> Stats:
        return Stats("toy", running=1, waiting=0, slots=4, blocks_used=3, blocks_cached=2, blocks_free=11)


def test_every_frame_that_a_real_socket_carries_is_valid():
    async def scenario() -> None:
        puppet = Measured()
        async with serving([puppet]) as (_, url), joined(url) as client:
            for number in range(3):
                await client.send(json.dumps({"type": "user", "message": f"{number}", "cmd_id": f"{number}"}))
            for frame in ('{"type":"ping"}', "{", '{"type":"edit","id":"x","message":"y","cmd_id":"e"}'):
                await client.send(frame)
            puppet.say(
                Progress("prefill", 1, 2, 1), Reasoning("Hm."), Canvas(1, 2, True, 0, ((0, "a", "masked", 0.5),))
            )
            await client.until("canvas")
            puppet.say("One", Done("stop"), "Two", BackendFailed("It broke."))
            await client.until("ai")
            puppet.notify(Loading("toy", "loading", 1, 2))
            puppet.models = []
            puppet.notify(ModelsChanged())
            for kind in ("loading", "models"):
                if kind not in client.types():
                    await client.until(kind)
            async with joined(f"{url}?session={client.session}") as late:
                await late.until("snapshot")
                seen = [*client.frames, *late.frames]
        server = side("server")
        for frame in seen:
            server.validate(frame)
        kinds = {str(frame["type"]) for frame in seen}
        assert kinds >= {"system", "ack", "user", "typing", "queued", "delta", "ai", "error", "progress", "canvas"}
        assert kinds >= {"loading", "models", "engine", "snapshot", "pong"}

    asyncio.run(scenario())
