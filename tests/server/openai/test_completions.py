from openai.types import Completion as TheirCompletion

from backends.base import Done, Usage
from server.openai.completions import Completing

COMPLETING = Completing("cmpl-1", 1_700_000_000, "echo/echo")
DONE = Done("length", Usage(prompt_tokens=7, cached_tokens=4, completion_tokens=3))


def test_a_whole_answer_is_what_the_official_client_reads() -> None:
    read = TheirCompletion.model_validate_json(COMPLETING.whole(DONE, "so on").model_dump_json(), strict=True)
    assert (read.id, read.created, read.model, read.object) == ("cmpl-1", 1_700_000_000, "echo/echo", "text_completion")
    assert [(choice.index, choice.text, choice.finish_reason) for choice in read.choices] == [(0, "so on", "length")]
    assert read.usage is not None
    assert (read.usage.prompt_tokens, read.usage.completion_tokens, read.usage.total_tokens) == (7, 3, 10)
    assert read.usage.prompt_tokens_details is not None
    assert read.usage.prompt_tokens_details.cached_tokens == 4


def test_pieces_have_one_form_and_only_the_last_has_a_reason() -> None:
    pieces = [COMPLETING.piece("so "), COMPLETING.end(Done("stop"), "on")]
    assert [(piece.choices[0].text, piece.choices[0].finish_reason) for piece in pieces] == [
        ("so ", None),
        ("on", "stop"),
    ]
    assert {(piece.id, piece.created, piece.model, piece.object, piece.usage) for piece in pieces} == {
        ("cmpl-1", 1_700_000_000, "echo/echo", "text_completion", None)
    }


def test_the_usage_comes_without_choices() -> None:
    piece = COMPLETING.usage(DONE)
    assert piece.choices == []
    assert piece.usage is not None
    assert piece.usage.total_tokens == 10
