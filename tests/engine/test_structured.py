"""An answer that is to be JSON is JSON that its schema allows, and no schema takes long or breaks anything."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping

import jsonschema
import pytest

from engine.errors import GrammarError
from engine.guide import Guide
from engine.llm_engine import LLMEngine
from engine.sampling_params import SamplingParams
from engine.schema_bounds import MAX_LENGTH
from engine.structured import KEPT, Grammars, json_grammar
from engine.tokenizer import Tokenizer
from engine.vocabulary import TokenType, Vocabulary
from tests.engine.running import run

MakeEngine = Callable[..., LLMEngine]
PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 12},
        "age": {"type": "integer", "minimum": 0, "maximum": 120},
        "tags": {"type": "array", "items": {"enum": ["kind", "tall", "né 漢字"]}, "maxItems": 2},
        "next": {"$ref": "#/$defs/place"},
    },
    "required": ["name", "age", "tags", "next"],
    "additionalProperties": False,
    "$defs": {"place": {"anyOf": [{"type": "null"}, {"type": "string", "pattern": "^[A-Z]{3}-[0-9]{2}$"}]}},
}
OPEN = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
LONGEST = 4 * 12 + 120  # bytes of a document: a character takes four at most


def nested(levels: int) -> dict[str, object]:
    schema: dict[str, object] = {"type": "string"}
    for _ in range(levels):
        schema = {"type": "array", "items": schema}
    return schema


def tree(**more: object) -> dict[str, object]:
    """The schema of a tree of any size."""
    node = {"type": "object", "properties": {"child": {"$ref": "#/$defs/node"}, "v": {"type": "integer"}}, **more}
    return {"$ref": "#/$defs/node", "$defs": {"node": node}}


UNUSABLE = {
    "10,000 levels": (nested(10_000), "nested"),
    "too many levels": (nested(65), "nested"),
    "a huge enum": ({"enum": [f"word {number}" for number in range(10_000)]}, "longer"),
    "a long constant": ({"const": "x" * MAX_LENGTH}, "longer"),
    "only itself": ({"$ref": "#"}, "nothing satisfies it"),
    "a circle": ({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}, "nothing"),
    "nothing in range": ({"type": "integer", "minimum": 5, "maximum": 2}, "[Uu]nsatisfiable"),
    "nothing of that length": ({"type": "string", "pattern": "^a$", "minLength": 5}, "[Uu]nsatisfiable"),
    "two types": ({"allOf": [{"type": "string"}, {"type": "integer"}]}, "[Uu]nsatisfiable"),
    "no choice": ({"enum": []}, "[Uu]nsatisfiable"),
    "what is not supported": ({"type": "array", "uniqueItems": True}, "uniqueItems"),
    "another one": ({"if": {"type": "string"}, "then": {"minLength": 3}}, '"if"'),
    "an unknown format": ({"type": "string", "format": "bogus"}, "bogus"),
    "a look-ahead": ({"type": "string", "pattern": "(?=a)b"}, "regex"),
    "20,000 brackets": ({"type": "string", "pattern": "(" * 20_000 + "a" + ")" * 20_000}, "regex"),
    "too much to compute": ({"type": "integer", "multipleOf": 1_000_000_007, "minimum": 1, "maximum": 10**15}, "fuel"),
    "a product of choices": (
        {"allOf": [{"anyOf": [{"properties": {f"{a}.{b}": {}}} for b in range(10)]} for a in range(6)]},
        "too large",
    ),
    "a file of somebody's": ({"$ref": "file:///etc/passwd"}, "not"),
    "more properties than are required": ({"type": "object", "minProperties": 2, "required": ["a"]}, "minProperties"),
    "no schema": ({"type": 5}, "type"),
    "no JSON": ({"const": {1, 2}}, "JSON"),
}
HEAVY = {
    "a recursive one": tree(required=["v"], additionalProperties=False),
    "an infinite one": tree(required=["child"]),
    "many levels": nested(60),
    "a large enum": {"enum": [f"word {number}" for number in range(3_000)]},
    "many properties": {"properties": {f"p{number}": {"type": "string"} for number in range(1_500)}},
    "many choices": {"anyOf": [{"properties": {f"p{number}": {}}, "type": "object"} for number in range(700)]},
    "a power of a power": {"type": "string", "pattern": "^(a{1,1000}){1,1000}$"},
    "maybe a hundred times a hundred": {"type": "string", "pattern": "^((a?){100}){100}a{100}$"},
    "plus of plus": {"type": "string", "pattern": "(x+x+)+y"},
    "a window of any letters": {"type": "string", "pattern": "^(.*a.{20}|.*b.{21}|.*c.{22})$"},
    "many items": {"type": "array", "items": {"type": "integer"}, "minItems": 100_000},
    "a long text": {"type": "string", "minLength": 1_000_000},
}


@pytest.fixture(scope="module")
def engine(make_engine: MakeEngine) -> LLMEngine:
    return make_engine()


@pytest.fixture(scope="module")
def tokenizer(engine: LLMEngine) -> Iterator[Tokenizer]:
    yield engine.tokenizer
    engine.tokenizer.close()


@pytest.fixture(scope="module")
def grammars(tokenizer: Tokenizer) -> Grammars:
    return Grammars(tokenizer)


@pytest.fixture(scope="module")
def large(embedded_engine: LLMEngine) -> Grammars:
    """With a vocabulary of the usual size."""
    return Grammars(embedded_engine.tokenizer)


def takes(guide: Guide, tokenizer: Tokenizer, text: str) -> bool:
    """Whether `text` is an answer that may end."""
    tokens = [*tokenizer.encode(text), min(tokenizer.eos_ids)]
    for token in tokens:
        [barred] = guide.masks((), tokenizer.vocab_size)
        if barred[token]:
            return False
        guide.consume(token)
    return True


# What is allowed


@pytest.mark.parametrize(
    ("schema", "document", "allowed"),
    [
        (PERSON, '{"name":"né \\"x\\"","age":7,"tags":["né 漢字"],"next":"ABC-12"}', True),
        (PERSON, '{"name":"","age":7,"tags":[],"next":null}', True),
        (PERSON, '{"name":"","age":121,"tags":[],"next":null}', False),
        (PERSON, '{"name":"","age":7,"tags":[]}', False),
        (PERSON, '{"name": "","age":7,"tags":[],"next":null}', False),
        ({"type": "object"}, '{"a":[1,{"b":null}],"c":"d"}', True),
        ({"type": "object"}, '["a"]', False),
        ({"type": "object"}, '{"a":1} ', False),
        ({}, "-1.5e3", True),
        (OPEN, '{"a":1,"b":"","b":2}', True),
        (OPEN, '{"a":1,"a":""}', False),
        (OPEN, '{"a":1,"\\u0061":""}', False),
        ({"type": "string"}, '"\\n\\t\\"\\\\"', True),
        ({"type": "string"}, '"\\ud800"', False),
        ({"x-guidance": {"whitespace_flexible": True}, "type": "array"}, "[ ]", False),
    ],
)
def test_a_document_may_be_what_its_schema_says(
    grammars: Grammars, tokenizer: Tokenizer, schema: Mapping[str, object], document: str, allowed: bool
) -> None:
    assert takes(grammars.guide(json_grammar(schema)), tokenizer, document) is allowed


def test_control_tokens_are_never_allowed_and_the_end_where_a_document_is_whole(
    grammars: Grammars, tokenizer: Tokenizer
) -> None:
    guide = grammars.guide(json_grammar({"type": "integer"}))
    start, end = tokenizer.encode("<|im_start|><|im_end|>", special=True)
    for text, whole in (("", False), ("1", True), ("2", True)):
        for token in tokenizer.encode(text):
            guide.consume(token)
        [barred] = guide.masks((), tokenizer.vocab_size + 5)
        assert barred[start]
        assert bool(barred[end]) is not whole
        assert barred[tokenizer.vocab_size :].all(), "ids past the vocabulary are nothing"


def test_guesses_are_looked_ahead_for_and_forgotten(grammars: Grammars, tokenizer: Tokenizer) -> None:
    guide, size = grammars.guide(json_grammar({"enum": ["abc", "abd"]})), tokenizer.vocab_size
    guesses = tokenizer.encode('"abc"x')
    assert guide.allowed(guesses) == 5
    assert guide.allowed([*guesses[:5], min(tokenizer.eos_ids), 7]) == 5
    before, *_ = guide.masks((), size)
    ahead = list(guide.masks(guesses[:5], size))
    assert len(ahead) == 6
    for guess, barred in zip(guesses, ahead, strict=True):
        assert bool(barred[guess]) is (guess is guesses[-1])
    assert (next(guide.masks((), size)) == before).all()
    assert takes(guide, tokenizer, '"abd"')


# Hostile schemas


@pytest.mark.parametrize("name", UNUSABLE)
def test_a_schema_that_cannot_be_used_is_refused_with_the_reason(large: Grammars, name: str) -> None:
    schema, reason = UNUSABLE[name]
    with pytest.raises(GrammarError, match=reason) as caught:
        large.guide(json_grammar(schema))
    assert len(str(caught.value)) < 400
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", HEAVY)
def test_a_heavy_schema_takes_little_time_in_each_step(large: Grammars, name: str) -> None:
    """Documents are written at random, and the processor's time of the worst step is what counts."""
    guide = large.guide(json_grammar(HEAVY[name]))
    spent = []
    for step in range(40):
        before = time.process_time()
        try:
            [barred] = guide.masks((), large._vocab_size)
        except GrammarError:
            break
        spent.append(time.process_time() - before)
        possible = (~barred).nonzero()[0]
        guide.consume(int(possible[step * 7919 % len(possible)]))
        if guide.is_whole:
            break
    assert max(spent) < 0.5


def test_compiled_grammars_are_kept_and_each_guide_goes_its_own_way(tokenizer: Tokenizer) -> None:
    grammars = Grammars(tokenizer)
    first, second = (grammars.guide(json_grammar({"const": "ab"})) for _ in range(2))
    assert takes(first, tokenizer, '"ab"')
    assert takes(second.fork(), tokenizer, '"ab"')
    assert takes(second, tokenizer, '"ab"')
    assert len(grammars._compiled) == 1
    for number in range(KEPT + 3):
        grammars.guide(json_grammar({"const": number}))
    assert len(grammars._compiled) == KEPT


@pytest.mark.parametrize("ends", [frozenset(), frozenset({258, 259})], ids=["no end", "two ends"])
def test_an_unusual_vocabulary_is_no_obstacle(ends: frozenset[int]) -> None:
    """One with a token that is longer than the library takes, and without a token that ends an answer."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    letters = [chr(code) for code in printable] + [chr(0x100 + place) for place in range(256 - len(printable))]
    tokens = [*letters, "th", "1" * 3000, "<e>", "<f>"]
    types = [TokenType.NORMAL] * 258 + [TokenType.CONTROL] * 2
    tokenizer = Tokenizer(Vocabulary("gpt2", "smollm", tokens, types, ["t h"], [], {}, ends, False, False), None)
    guide = Grammars(tokenizer).guide(json_grammar({"enum": [1, 12]}))
    one, two = tokenizer.encode("12")
    guide.consume(one)
    [barred] = guide.masks((), tokenizer.vocab_size)
    assert {*(~barred).nonzero()[0].tolist()} == {two, *ends}
    guide.consume(two)
    assert guide.is_whole
    if not ends:
        with pytest.raises(GrammarError, match="no token"):
            next(guide.masks((), tokenizer.vocab_size))


# Answers


def test_every_document_of_a_random_model_is_valid(engine: LLMEngine, grammars: Grammars) -> None:
    guide = grammars.guide(json_grammar(PERSON))
    for seed in range(12):
        params = SamplingParams(temperature=1.0, seed=seed, max_tokens=LONGEST)
        engine.add_request(str(seed), [50, 60, 70], params, n=2, guide=guide.fork())
    for result in run(engine).values():
        assert result.finish_reason == "stop"
        jsonschema.validate(json.loads(result.text), PERSON)


def test_the_embedded_model_writes_what_it_is_asked_for(embedded_engine: LLMEngine, large: Grammars) -> None:
    prompt = embedded_engine.tokenizer.encode_chat([{"role": "user", "content": "Describe a person in JSON."}])
    for seed in range(4):
        params = SamplingParams(temperature=1.0, seed=seed, max_tokens=LONGEST)
        embedded_engine.add_request(str(seed), prompt, params, guide=large.guide(json_grammar(PERSON)))
    for result in run(embedded_engine).values():
        assert result.finish_reason == "stop"
        jsonschema.validate(json.loads(result.text), PERSON)


def test_a_document_that_is_cut_says_so(engine: LLMEngine, grammars: Grammars) -> None:
    params = SamplingParams(temperature=1.0, seed=1, max_tokens=9)
    engine.add_request("cut", [50, 60], params, guide=grammars.guide(json_grammar(PERSON)))
    result = run(engine)["cut"]
    assert (result.finish_reason, len(result.tokens)) == ("length", 9)


def test_an_answer_that_finds_no_way_on_fails_alone(engine: LLMEngine, grammars: Grammars) -> None:
    broken = grammars.guide(json_grammar(PERSON))
    engine.add_request("fails", [50, 60], SamplingParams(max_tokens=40, seed=1), n=2, guide=broken)
    engine.add_request("lives", [50, 60], SamplingParams(max_tokens=LONGEST, seed=1), guide=broken.fork())
    broken.consume(0)
    results = run(engine)
    assert results["lives"].finish_reason == "stop"
    assert results["fails.1"].finish_reason is not None, "it is another answer"
    [*_, last] = results["fails"].outputs
    assert isinstance(last.error, GrammarError)
    assert (last.finish_reason, last.new_token_ids) == (None, ())
    assert engine.stats().blocks_used == 0
    assert not engine.has_work()
