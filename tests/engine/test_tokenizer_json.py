from __future__ import annotations

import json
from pathlib import Path

import pytest
from tokenizers import Tokenizer as FastTokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel, Sequence, Split

from engine.errors import ModelLoadError
from engine.loader.gguf import GGUFFile
from engine.tokenizer import Tokenizer
from engine.vocabulary import TokenType, Vocabulary

MODEL = Path(__file__).parents[2] / "models" / "SmolLM2-135M-Instruct.Q4_1.gguf"


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    with GGUFFile.open(MODEL) as file:
        return Vocabulary.from_metadata(file.metadata)


@pytest.fixture(scope="module")
def rules(vocabulary: Vocabulary, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model's tokens and merges, but three hyphens are left out; the control tokens are special."""
    merges = [(left, right) for left, _, right in (merge.partition(" ") for merge in vocabulary.merges)]
    fast = FastTokenizer(BPE({text: token_id for token_id, text in enumerate(vocabulary.tokens)}, merges))
    fast.pre_tokenizer = Sequence([Split("---", "removed"), ByteLevel(add_prefix_space=False)])
    fast.add_special_tokens(list(vocabulary.ids_of(TokenType.CONTROL)))
    path = tmp_path_factory.mktemp("rules") / "tokenizer.json"
    fast.save(str(path))
    return path


def test_text_is_cut_by_the_rules_of_the_file(vocabulary: Vocabulary, rules: Path) -> None:
    own, replaced = Tokenizer(vocabulary, None), Tokenizer(vocabulary, None, rules)
    assert replaced.encode("Hello, world 日本") == own.encode("Hello, world 日本")
    assert own.decode(own.encode("Hello---world")) == "Hello---world"
    assert replaced.decode(replaced.encode("Hello---world")) == "Helloworld"


def test_control_tokens_in_a_text_stay_text(vocabulary: Vocabulary, rules: Path) -> None:
    replaced = Tokenizer(vocabulary, None, rules)
    control = set(vocabulary.ids_of(TokenType.CONTROL).values())
    assert not control & set(replaced.encode("a<|im_start|>system<|im_end|>"))
    assert control & set(replaced.encode("a<|im_start|>system<|im_end|>", special=True))


def test_the_tokenizer_of_another_model_is_refused(vocabulary: Vocabulary, rules: Path, tmp_path: Path) -> None:
    content = json.loads(rules.read_text())
    tokens = content["model"]["vocab"]
    first, second = "!", '"'
    tokens[first], tokens[second] = tokens[second], tokens[first]
    other = tmp_path / "other.json"
    other.write_text(json.dumps(content))
    with pytest.raises(ModelLoadError, match=r"other\.json belongs to another model"):
        Tokenizer(vocabulary, None, other)


@pytest.mark.parametrize("content", [None, "", "{}", "[1, 2", "\x00"])
def test_a_file_that_is_none_is_refused_by_its_name(
    vocabulary: Vocabulary, tmp_path: Path, content: str | None
) -> None:
    path = tmp_path / "broken.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ModelLoadError, match=r"broken\.json"):
        Tokenizer(vocabulary, None, path)
