"""Text and conversations become the ids that llama.cpp and transformers make of them, and people's words stay words."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
import timeit
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import gguf
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import ModelLoadError, TemplateError
from engine.loader.gguf import GGUFFile
from engine.tokenizer import Tokenizer
from engine.vocabulary import TokenType, Vocabulary

ROOT = Path(__file__).parents[2]
MODEL = ROOT / "models" / "SmolLM2-135M-Instruct.Q4_1.gguf"
DATA = Path(__file__).parent / "data"
CHAT_IDS = json.loads((DATA / "chat_ids.json").read_text())
IM_START, IM_END = 1, 2
CONTROL = range(17)


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    with GGUFFile.open(MODEL) as file:
        return Vocabulary.from_metadata(file.metadata)


@pytest.fixture(scope="module")
def tokenizer() -> Iterator[Tokenizer]:
    with GGUFFile.open(MODEL) as file:
        made = Tokenizer.from_gguf(file)
    yield made
    made.close()


@pytest.fixture(scope="module")
def plain(vocabulary: Vocabulary) -> Tokenizer:
    """The embedded model's tokens without its template."""
    return Tokenizer(vocabulary, None)


def user(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


# The embedded model


def test_the_special_ids_are_the_models(tokenizer: Tokenizer) -> None:
    assert tokenizer.vocab_size == 49152
    assert tokenizer.eos_ids == {0, IM_END}
    assert tokenizer.bos_id == IM_START
    assert not tokenizer.add_bos
    assert tokenizer.stop == ()


def test_it_loads_in_a_moment_and_without_transformers() -> None:
    program = (
        "import sys, time; started = time.process_time()\n"
        "from engine.loader.gguf import GGUFFile; from engine.tokenizer import Tokenizer\n"
        f"with GGUFFile.open({str(MODEL)!r}) as file: Tokenizer.from_gguf(file).close()\n"
        "print(time.process_time() - started, 'transformers' in sys.modules, 'torch' in sys.modules)"
    )
    command = [sys.executable, "-c", program]
    seconds, *imported = subprocess.check_output(command, cwd=ROOT, text=True, timeout=60).split()
    assert imported == ["False", "False"]
    assert float(seconds) < 3.0


def test_a_prompt_is_encoded_in_a_moment(tokenizer: Tokenizer) -> None:
    fastest = min(timeit.repeat(lambda: tokenizer.encode_chat(user("Hello")), number=1, repeat=50))
    assert fastest < 0.01


@pytest.mark.parametrize("conversation", CHAT_IDS["conversations"], ids=lambda one: ascii(one["messages"][-1][1][:20]))
def test_conversations_become_the_ids_that_transformers_makes_of_them(
    conversation: dict[str, list], tokenizer: Tokenizer
) -> None:
    messages = [{"role": role, "content": content} for role, content in conversation["messages"]]
    assert tokenizer.encode_chat(messages) == conversation["prompt"]
    assert tokenizer.encode_chat(messages, add_generation_prompt=False) == conversation["closed"]


@pytest.mark.oracle
def test_the_stored_ids_are_still_what_transformers_makes(tmp_path: Path) -> None:
    made = tmp_path / "chat_ids.json"
    subprocess.run([sys.executable, DATA / "make_chat_ids.py", made], check=True, capture_output=True, timeout=120)
    assert json.loads(made.read_text()) == CHAT_IDS


# People's words that look like control tokens


@pytest.mark.parametrize("attack", CHAT_IDS["attacks"], ids=lambda attack: attack["text"][:30])
def test_a_persons_control_texts_are_encoded_as_text(attack: dict[str, list], tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode_chat(user(attack["text"]))
    assert ids == attack["prompt"]
    assert attack["text"] in tokenizer.decode(ids)


PIECES = [
    "<|im_start|>",
    "<|im_end|>",
    "<|endoftext|>",
    "<",
    "|",
    "im_end",
    "|>",
    "<|im_",
    "end|>",
    "system\n",
    "x",
    "\ufdd0",
]


@given(st.lists(st.sampled_from(PIECES), max_size=8).map("".join), st.lists(st.sampled_from(PIECES)).map("".join))
def test_no_words_of_a_person_make_a_control_token(tokenizer: Tokenizer, first: str, second: str) -> None:
    messages = [*user(first), {"role": "assistant", "content": second}, *user(first)]
    harmless = [*user("a"), {"role": "assistant", "content": "b"}, *user("c")]
    ids = tokenizer.encode_chat(messages)
    controls = [token for token in ids if token in CONTROL]
    assert controls == [token for token in tokenizer.encode_chat(harmless) if token in CONTROL]
    assert f"user\n{first}\nassistant\n{second}\nuser\n{first}\nassistant\n" in tokenizer.decode(ids)


def test_control_texts_in_roles_and_variables_are_text_too(vocabulary: Vocabulary) -> None:
    source = "{{ messages[0].role }}{{ messages[0].name }}{{ tools[0].description }}{{ tools | tojson }}<|im_end|>"
    made = Tokenizer(vocabulary, source)
    attack = "<|im_start|>"
    ids = made.encode_chat(
        [{"role": attack, "name": attack, "content": ""}], tools=[{"description": attack, attack: [attack]}]
    )
    made.close()
    assert [token for token in ids if token in CONTROL] == [IM_END]
    assert made.decode(ids) == f'{attack * 3}[{{"description": "{attack}", "{attack}": ["{attack}"]}}]'


def test_a_user_defined_token_is_itself_wherever_it_stands(vocabulary: Vocabulary) -> None:
    types = list(vocabulary.types)
    types[3] = TokenType.USER_DEFINED  # <repo_name>
    made = Tokenizer(replace(vocabulary, types=types), "{{ messages[0].content.split('<repo_name>')[1] }}<repo_name>")
    assert made.encode("a<repo_name>b") == [*made.encode("a"), 3, *made.encode("b")]
    assert made.decode([3]) == "<repo_name>"
    assert made.encode_chat(user("a<repo_name>b")) == [*made.encode("b"), 3], (
        "the template cannot see it in the message"
    )
    made.close()


def test_a_message_full_of_marks_is_marked_all_the_same(tokenizer: Tokenizer) -> None:
    text = "\ufdd0<|im_end|>\ufdd0\ufdd0\ufdd0<|im_start|>\ufdd0"
    ids = tokenizer.encode_chat([*user(text), {"role": "assistant", "content": text}])
    assert [token for token in ids if token in CONTROL] == [1, 2] * 3 + [1]
    assert tokenizer.decode(ids).count(text) == 2


def test_a_template_that_makes_half_a_surrogate_pair_makes_a_replacement_character(vocabulary: Vocabulary) -> None:
    made = Tokenizer(vocabulary, "a{{ '\\ud800' }}b")
    assert made.decode(made.encode_chat(user("x"))) == "a\ufffdb"
    made.close()


def test_variables_nested_without_end_are_refused(tokenizer: Tokenizer) -> None:
    tools: list[object] = []
    for _ in range(100_000):
        tools = [tools]
    with pytest.raises(TemplateError, match="nested too deeply"):
        tokenizer.encode_chat(user("x"), tools=tools)


@pytest.mark.parametrize("template", [7, "x" * (1 << 21)], ids=["a number", "two million characters"])
def test_a_template_that_cannot_be_one_is_refused(template: str | int, tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.gguf"
    write_tokenizer(path, template)
    with GGUFFile.open(path) as file, pytest.raises(ModelLoadError, match="chat template is not a text, or too long"):
        Tokenizer.from_gguf(file)


def test_a_template_that_fails_is_told_of(vocabulary: Vocabulary) -> None:
    made = Tokenizer(vocabulary, "{{ raise_exception('Only users may speak') }}")
    with pytest.raises(TemplateError, match="Only users may speak"):
        made.encode_chat(user("Hello"))
    made.close()


# Any text


@given(st.text())
def test_a_stream_says_what_the_whole_says(plain: Tokenizer, text: str) -> None:
    ids = plain.encode(text)
    decoder = plain.decoder()
    assert "".join([*map(decoder.push, ids), decoder.flush()]) == plain.decode(ids)


@given(st.lists(st.integers(0, 49151)))
def test_a_stream_of_any_ids_says_what_all_say_at_once(plain: Tokenizer, ids: list[int]) -> None:
    decoder = plain.decoder()
    pieces = [*map(decoder.push, ids), decoder.flush()]
    assert "".join(pieces) == b"".join(map(plain.token_bytes, ids)).decode("utf-8", "replace") == plain.decode(ids)


def test_lone_surrogates_are_replaced_and_pairs_joined(tokenizer: Tokenizer) -> None:
    assert tokenizer.decode(tokenizer.encode("a\ud800b")) == "a\ufffdb"
    assert tokenizer.decode(tokenizer.encode("\ud83d\ude42")) == "🙂"
    assert "a\ufffdb" in tokenizer.decode(tokenizer.encode_chat(user("a\ud800b")))


@pytest.mark.parametrize(
    "text", ["a" * 10**5, " " * 10**5, "\n" * 10**5, "é" * 10**5, "1" * 10**5, "<|im_end|>" * 10**4, "a " * 10**5]
)
def test_long_texts_take_time_in_proportion(text: str, plain: Tokenizer) -> None:
    started = time.thread_time()
    ids = plain.encode(text)
    assert time.thread_time() - started < 1.0
    assert plain.decode(ids) == text


def test_a_conversation_full_of_control_texts_takes_time_in_proportion(tokenizer: Tokenizer) -> None:
    started = time.thread_time()
    ids = tokenizer.encode_chat(user("<|im_end|>" * 10_000))
    assert time.thread_time() - started < 1.0
    assert ids.count(IM_END) == 2


# What tokens say


def test_control_tokens_and_unknown_ids_say_nothing(tokenizer: Tokenizer) -> None:
    assert [tokenizer.token_bytes(token) for token in (0, IM_START, IM_END, -1, 49152, 10**9)] == [b""] * 6


# Without a template


def test_without_a_template_the_plain_form_is_used(plain: Tokenizer) -> None:
    messages = [{"role": "system", "content": "Be brief."}, *user("What is <|im_end|>?")]
    assert plain.encode_chat(messages) == plain.encode("Be brief.\n\nUser: What is <|im_end|>?\nAssistant:")
    assert plain.stop == ("\nUser:", "User:", "\n\n\n")


# Files


def write_tokenizer(path: Path, template: str | int | None = None) -> None:
    """A byte-level tokenizer of 400 tokens, in a file without tensors."""
    with GGUFFile.open(MODEL) as file:
        metadata = dict(file.metadata)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(metadata["tokenizer.ggml.tokens"][:400])
    writer.add_token_types(metadata["tokenizer.ggml.token_type"][:400].tolist())
    writer.add_token_merges(metadata["tokenizer.ggml.merges"][:150])
    writer.add_eos_token_id(2)
    writer.add_add_bos_token(False)
    if template is not None:
        writer.add_key_value(
            "tokenizer.chat_template",
            template,
            gguf.GGUFValueType.STRING if isinstance(template, str) else gguf.GGUFValueType.UINT32,
        )
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()


def test_flipped_bytes_end_in_a_tokenizer_or_a_refusal(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.gguf"
    write_tokenizer(path)
    content = path.read_bytes()
    chance = random.Random(11)
    loaded = 0
    for _ in range(400):
        flipped = bytearray(content)
        flipped[chance.randrange(len(content))] ^= chance.randrange(1, 256)
        path.write_bytes(flipped)
        try:
            with GGUFFile.open(path) as file:
                tokenizer = Tokenizer.from_gguf(file)
        except ModelLoadError:
            continue
        loaded += 1
        tokenizer.decode(tokenizer.encode("Hello, world! 🙂<|im_end|>", special=True))
        tokenizer.close()
    assert loaded > 10, "hardly any flip left a tokenizer: the test tests nothing"
