"""Text and conversations to token ids, and back.

Owns which texts are special and where they count: in what a model's own template writes, never in what a person wrote.
Knows nothing of sampling or of the model's weights.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from engine.byte_level import ByteLevelBPE
from engine.chat_template import ChatTemplate, JinjaTemplate, PlainTemplate
from engine.detokenizer import StreamDecoder
from engine.errors import ModelLoadError, TemplateError
from engine.loader.gguf import GGUFFile, MetaValue
from engine.sentencepiece import SentencePieceBPE
from engine.special_text import SpecialTokens, unused_mark, well_formed
from engine.text_model import TextModel
from engine.tokenizer_json import TokenizerJSON
from engine.vocabulary import TokenType, Vocabulary

MAX_TEMPLATE = 1 << 20  # characters; the longest in use have some 30,000


TEXT_MODELS: dict[str, Callable[[Vocabulary], TextModel]] = {"gpt2": ByteLevelBPE, "llama": SentencePieceBPE}


class Tokenizer:
    """The tokenizer of one model. Safe to share between threads.

    `vocab_size` is the number of tokens, `eos_ids` those that end an answer, `bos_id` the one that begins a sequence,
    and `add_bos` whether the model wants it in front of plain text.
    """

    def __init__(self, vocabulary: Vocabulary, template: str | None, rules: Path | None = None) -> None:
        """`rules`: a `tokenizer.json` that says how text is cut, in place of the model's own file.

        Raises ModelLoadError for a kind of tokenizer that is not known, and for rules that do not fit.
        """
        make_text_model = TEXT_MODELS.get(vocabulary.model)
        if make_text_model is None:
            raise ModelLoadError(f"The model's tokenizer is of an unknown kind: {vocabulary.model[:40]!r}.")
        self.vocab_size = len(vocabulary.tokens)
        self.eos_ids = vocabulary.eos_ids
        self.bos_id = vocabulary.special_ids.get("bos")
        self.add_bos = vocabulary.add_bos and self.bos_id is not None
        self._names, self._types = vocabulary.tokens, vocabulary.types
        self._text_model = make_text_model(vocabulary)
        if rules is not None:
            self._text_model = TokenizerJSON(rules, vocabulary, self._text_model)
        self._control = SpecialTokens(vocabulary.ids_of(TokenType.CONTROL))
        self._user_defined = SpecialTokens(vocabulary.ids_of(TokenType.USER_DEFINED))
        self._template = _make_template(template, vocabulary)

    @classmethod
    def from_gguf(cls, file: GGUFFile, rules: Path | None = None) -> Tokenizer:
        """The tokenizer in a model's file, which may be closed afterwards. Raises ModelLoadError."""
        return cls(Vocabulary.from_metadata(file.metadata), _template_source(file.metadata), rules)

    @property
    def stop(self) -> tuple[str, ...]:
        """Strings that end an answer in the form that `encode_chat` writes, beside the end tokens."""
        return self._template.stop

    @property
    def template(self) -> str:
        """The source of the model's own chat template, empty if it has none: it tells what the model was taught."""
        return self._template.source

    def encode(self, text: str, *, special: bool = False) -> list[int]:
        """The ids of `text`, without a beginning-of-sequence token.

        Text that looks like a control token is text, unless `special` is true. Lone surrogates become U+FFFD.
        """
        text = well_formed(text)
        return self._encode_special(text) if special else self._encode_text(text)

    def encode_chat(
        self, messages: Sequence[Mapping[str, object]], *, add_generation_prompt: bool = True, **variables: object
    ) -> list[int]:
        """The ids of a conversation in the model's own form.

        With `add_generation_prompt` it ends where the model's answer begins; without, after the last message.
        `variables` go to the template. Control tokens come from the template alone: in messages and variables, their
        texts are broken by a mark that is taken out again before the text is encoded.
        Raises TemplateError if the template refuses the conversation, fails or takes too much.
        """
        given = {**variables, "messages": list(messages)}
        try:
            mark = unused_mark(given)
            text = self._template.render(self._control.broken(given, mark), add_generation_prompt)
        except RecursionError as error:
            raise TemplateError("The conversation is nested too deeply.") from error
        ids = self._encode_special(well_formed(text), mark)
        if self._template.wants_bos and self.add_bos and self.bos_id is not None:
            ids.insert(0, self.bos_id)
        return ids

    def token_bytes(self, token_id: int) -> bytes:
        """What a token adds to a text: nothing for control tokens and for ids past the vocabulary."""
        if not 0 <= token_id < self.vocab_size or self._types[token_id] in _SILENT:
            return b""
        return self._text_model.token_bytes(token_id)

    def token_name(self, token_id: int) -> str:
        """How the vocabulary writes a token: of a control token, what a template writes for it."""
        return self._names[token_id] if 0 <= token_id < self.vocab_size else ""

    def decode(self, ids: Sequence[int]) -> str:
        """The text of `ids`. Bytes that are not UTF-8 become U+FFFD."""
        decoder = self.decoder()
        return "".join([*map(decoder.push, ids), decoder.flush()])

    def decoder(self, *, begun: bool = False) -> StreamDecoder:
        """A new decoder for one stream of ids. `begun`: in the midst of a text, so that a space in front counts."""
        return StreamDecoder(self.token_bytes, strip_first_space=self._text_model.begins_with_space and not begun)

    def close(self) -> None:
        """End the process that renders the template."""
        self._template.close()

    def _encode_special(self, text: str, mark: str = "") -> list[int]:
        """Control tokens where their texts are whole; `mark` is taken out of the rest."""
        ids: list[int] = []
        for piece in self._control.split(text):
            ids += [piece] if isinstance(piece, int) else self._encode_text(piece.replace(mark, "") if mark else piece)
        return ids

    def _encode_text(self, text: str) -> list[int]:
        ids: list[int] = []
        if self._text_model.begins_with_space and text:
            text = f" {text}"
        for piece in self._user_defined.split(text):
            ids += [piece] if isinstance(piece, int) else self._text_model.encode(piece)
        return ids


_SILENT = (TokenType.CONTROL, TokenType.UNKNOWN, TokenType.UNUSED)
_TEMPLATE_TOKENS = {"bos": "bos_token", "eos": "eos_token", "unknown": "unk_token", "padding": "pad_token"}


def _template_source(metadata: Mapping[str, MetaValue]) -> str | None:
    source = metadata.get("tokenizer.chat_template")
    if source is None:
        return None
    if not isinstance(source, str) or len(source) > MAX_TEMPLATE:
        raise ModelLoadError("The model's chat template is not a text, or too long.")
    return source


def _make_template(source: str | None, vocabulary: Vocabulary) -> ChatTemplate:
    if source is None:
        return PlainTemplate()
    names = {_TEMPLATE_TOKENS[role]: vocabulary.tokens[token_id] for role, token_id in vocabulary.special_ids.items()}
    return JinjaTemplate(source, names)
