"""A backend as somebody else would write it: everything it takes to plug in."""

from collections.abc import AsyncGenerator, Sequence

from backends.base import Backend, Done, Event, GenerationRequest, ModelInfo, Text


class Parrot(Backend):
    """Repeats what it hears, in doubt and then for sure."""

    name = "parrot"

    async def list_models(self) -> Sequence[ModelInfo]:
        return [ModelInfo("polly")]

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[Event, None]:
        heard = request.messages[-1].content if request.messages else request.prompt
        yield Text(f"{heard}? {heard}!")
        yield Done("stop")
