from openai.types import Model as TheirModel

from backends.base import ModelState
from server.openai.models import ModelList
from server.protocol import ModelEntry


def entry(name: str, state: ModelState) -> ModelEntry:
    return ModelEntry(
        name=f"shelf/{name}",
        backend="shelf",
        kind="autoregressive",
        state=state,
        context_length=4096,
        capabilities=["completion"],
    )


def test_models_that_answer_are_listed_as_the_official_client_reads_them() -> None:
    listed = ModelList.of([entry("good", "ready"), entry("far", "unreachable"), entry("disk", "available")], 1000)
    read = [TheirModel.model_validate_json(model.model_dump_json(), strict=True) for model in listed.data]
    assert [(model.id, model.owned_by, model.created) for model in read] == [
        ("shelf/good", "shelf", 1000),
        ("shelf/disk", "shelf", 1000),
    ]


def test_how_much_a_model_reads_is_told_as_vllm_tells_it() -> None:
    [model] = ModelList.of([entry("good", "ready")], 1000).data
    assert model.max_model_len == 4096


def test_what_is_broken_is_not_offered() -> None:
    assert ModelList.of([entry("broken", "failed")], 1000).data == []
