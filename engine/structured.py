"""Answers in a prescribed form: from a JSON schema or a grammar to a guide for this model's tokens.

Owns the bounds on what is compiled, so that no schema, however hostile, takes long or much: its size and nesting are
looked at before it is, the compiler has a budget, and what it does not support it refuses by name. Safe to share
between threads; compiling takes milliseconds, a few hundred at worst, in which other threads run.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from llguidance import LLMatcher, LLParserLimits, LLTokenizer, TokenizerWrapper

from engine.errors import GrammarError
from engine.guide import Guide, first_line
from engine.schema_bounds import MAX_LENGTH, bounded_json
from engine.tokenizer import Tokenizer

if TYPE_CHECKING:
    from llguidance._lib import JsonCompileOptions  # only there for types

KEPT = 8  # compiled grammars
# Of the library's lexer, which grows while answers are written: some 0.7 kB each. A hostile pattern gets no more.
_MOST_STATES = 100_000
# Without spaces, documents of a bounded schema have a bounded length, and what is not written takes no time. Letters
# are not escaped: a name written with \u0061 would be another one to the grammar, and the same one to a reader.
_STRICT: JsonCompileOptions = {
    "whitespace_flexible": False,
    "lenient": False,
    "coerce_one_of": False,
    "json_allowed_escapes": '"\\bfnrt',
}
_SPACED: JsonCompileOptions = {**_STRICT, "item_separator": ", ", "key_separator": ": "}


def json_grammar(schema: Mapping[str, object]) -> str:
    """The grammar of the documents that `schema` allows, written without spaces. Raises GrammarError.

    Source of what is supported: JSON Schema 2020-12, as far as llguidance implements it.
    """
    return LLMatcher.grammar_from_json_schema(_written(schema), overrides=_STRICT)


def lark_grammar(rules: str) -> str:
    """The grammar with these rules, in llguidance's form of Lark's language. Answers begin with the rule `start`.

    Raises GrammarError for too many.
    """
    if len(rules) > 2 * MAX_LENGTH:
        raise GrammarError(f"The schemas together are longer than {2 * MAX_LENGTH:,} characters.")
    return LLMatcher.grammar_from_lark("%llguidance {}\n" + rules)


def embedded_json(schema: Mapping[str, object]) -> str:
    """What documents of `schema` are in a rule, with the spaces that templates write. Raises GrammarError."""
    if problem := LLMatcher.validate_grammar(json_grammar(schema)):
        raise GrammarError(f"{first_line(problem)}.")
    return f"%json {_written({**schema, 'x-guidance': _SPACED})}"


def _written(schema: Mapping[str, object]) -> str:
    """A schema as JSON. Raises GrammarError, also for what the library takes and does not keep."""
    text = bounded_json(schema)
    for part in _objects(schema):
        least, required = part.get("minProperties"), part.get("required")
        if isinstance(least, int) and least > len(required if isinstance(required, list) else ()):
            raise GrammarError("Unimplemented keys: minProperties above the number of required properties.")
    return text


def _objects(value: object) -> Iterator[Mapping[str, object]]:
    """All objects in JSON, whatever they mean."""
    if isinstance(value, Mapping):
        yield value
    for item in value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ():
        yield from _objects(item)


_LONGEST_TOKEN = 255  # bytes; the library breaks over a thousand
_LIMITS = LLParserLimits(verbose_errors=False, max_lexer_states=_MOST_STATES)


class Grammars:
    """Compiles grammars for the tokens of one model, and keeps those that were used last.

    To make it takes a fifth of a second for 50,000 tokens, most of it in two steps of the library's in which no other
    thread gets on: a thing to do while a model is loaded, and not when somebody asks for a document.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._vocab_size, self._end_ids = tokenizer.vocab_size, tokenizer.eos_ids
        vocabulary = _Vocabulary(tokenizer)
        tokens = LLTokenizer(TokenizerWrapper(vocabulary), eos_token=vocabulary.eos_token_ids, slices=[])
        self._tokens = tokens.with_slices(LLTokenizer.json_slices())
        self._lock = threading.Lock()  # one at a time: a crowd of hostile schemas takes one core, not all
        self._compiled: OrderedDict[str, Guide] = OrderedDict()

    def guide(self, grammar: str) -> Guide:
        """A guide at the beginning of an answer. Raises GrammarError for a grammar that nothing can follow."""
        with self._lock:
            guide = self._compiled.pop(grammar, None) or self._compile(grammar)
            self._compiled[grammar] = guide
            if len(self._compiled) > KEPT:
                self._compiled.popitem(last=False)
            return guide.fork()

    def _compile(self, grammar: str) -> Guide:
        matcher = LLMatcher(self._tokens, grammar, log_level=0, limits=_LIMITS)
        if problem := matcher.get_error():
            raise GrammarError(f"The form of the answer cannot be used: {first_line(problem)}.")
        guide = Guide(matcher, self._end_ids)
        try:
            next(guide.masks((), self._vocab_size))  # the slowest one, and it finds what nothing satisfies
        except GrammarError as error:
            raise GrammarError("The form of the answer cannot be used: nothing satisfies it.") from error
        return guide


class _Vocabulary:
    """The tokens as the library wants to see them: special ones may never come, but for those that end an answer."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        said = [tokenizer.token_bytes(token_id) for token_id in range(tokenizer.vocab_size)]
        self.special_token_ids = [place for place, data in enumerate(said) if not 0 < len(data) <= _LONGEST_TOKEN]
        self.tokens = [data[:_LONGEST_TOKEN] or b"<|%d|>" % place for place, data in enumerate(said)]
        self.eos_token_ids = sorted(tokenizer.eos_ids)
        if not self.eos_token_ids:  # the library wants to be told of one: it is past those that can be picked
            self.eos_token_ids = [len(self.tokens)]
            self.special_token_ids.append(len(self.tokens))
            self.tokens.append(b"<|end|>")
        self.eos_token_id = self.eos_token_ids[0]
        self.bos_token_id = tokenizer.bos_id

    def __call__(self, text: str) -> Sequence[int]:
        return self._tokenizer.encode(text)
