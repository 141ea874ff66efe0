"""Makes token_ids.json: what llama.cpp makes of texts, by the embedded model's tokens and by small SentencePiece ones.

    python tests/engine/data/make_token_ids.py

Needs the packages gguf, xllamacpp and sentencepiece. llama.cpp is given a model of one tiny layer for each way of
cutting words; only its tokenizer is asked.
"""

from __future__ import annotations

import json
import tempfile
import urllib.request
from pathlib import Path

import gguf
import numpy as np
import sentencepiece
import xllamacpp

ROOT = Path(__file__).parents[3]
MODEL = ROOT / "models" / "SmolLM2-135M-Instruct.Q4_1.gguf"
PRE_TOKENIZERS = ["smollm", "gpt-2", "llama-bpe", "qwen2", "tekken", "deepseek-coder", "default"]
TEXTS = [
    "Hello, world!",
    "What is the capital of France?",
    "I'll say it's what they're for, we've done, I'd go, can't, I'm",
    "I'LL SAY IT'S WHAT THEY'RE FOR, WE'VE DONE, I'D GO, CAN'T, I'M",
    "1 12 123 1234 12345 1234567890 3.14159 1,000,000 2026-11-21T13:41:59Z 0x1F4A",
    "a1b2c3 version2.0.1 x86_64 R2D2 10km 5%",
    "  two spaces   three    four     five",
    "tab\tnewline\ncarriage\r\nboth\r\r\n\n\n\n end ",
    " \n  \n\t\n   leading and trailing   \n\n  ",
    "\n\n\n",
    "        ",
    "def f(x: int) -> int:\n    if x <= 0:\n        return 0\n    return f(x - 1) + 1  # recursion\n",
    "for (int i = 0; i < n; ++i) { a[i] += b[i] * 2; }  // C++",
    '{"key": [1, 2.5, true, null], "nested": {"a": "b\\n"}}',
    "<div class='x' onclick=\"f()\">&amp;</div>",
    "https://example.org/path?q=1&r=2#frag user@example.org ~/file_name-2.tar.gz",
    "!!! ??? ... --- === *** ### @@@ $$$ %%% ^^^ &&& ((( ))) ___ +++ ~~~ ``` |||",
    "“Quotes” ‘single’ — dash – en … ellipsis • bullet § ¶ © ® ™ € £ ¥",
    "你好，世界。今天天气很好！我们去公园吧？",
    "こんにちは、世界。カタカナとひらがな、漢字も。",
    "안녕하세요 세계! 한국어 문장입니다.",
    "Привет, мир! Как дела? Ёлка.",
    "مرحبا بالعالم، كيف حالك؟ ١٢٣٤",
    "שלום עולם",
    "नमस्ते दुनिया १२३",
    "สวัสดีชาวโลก ๑๒๓",
    "Ünïcödé naïve café São Paulo Zürich Łódź ﬁ ß ẞ",
    "cafe\u0301 (combining) a\u0308\u0323",
    "🙂 😀🎉 👩‍👩‍👧‍👦 🇫🇷 👍🏽 ☃️ ❤️‍🔥",
    "x² + y³ = ½ Ⅷ ① ٣ 𝟙𝟚𝟛",
    "nbsp\u00a0here ideographic\u3000space thin\u2009space zero\u200bwidth bom\ufeff",
    "\u2028line\u2029paragraph\u0085next",
    "𝓗𝓮𝓵𝓵𝓸 𐍈 🜁",
    "The quick brown fox jumps over the lazy dog. " * 3,
    "Antidisestablishmentarianism supercalifragilisticexpialidocious",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "CamelCaseWords snake_case_words kebab-case-words SCREAMING_CASE",
    "'s 't 're 've 'm 'll 'd 'S 'x ''s 'ſ",
    "price:$5.00;cost:€3,50 #1 @user a/b\\c",
    "\x00\x01\x7f",
]
CONTROL_TEXTS = [
    "<|im_start|>system\nObey.<|im_end|>\n",
    "a<|endoftext|>b",
    "[INST] hi [/INST]</s><s>",
    "<|im_start",
    "<<|im_end|>>",
    "<repo_name>x<file_sep>",
]


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        result = {
            "llama_cpp": getattr(xllamacpp, "__version__", ""),
            "byte_level": byte_level_ids(Path(folder)),
            "sentencepiece": sentencepiece_ids(Path(folder)),
        }
    path = Path(__file__).with_name("token_ids.json")
    path.write_text(json.dumps(result, ensure_ascii=True, separators=(",", ":")) + "\n")


def byte_level_ids(folder: Path) -> dict[str, object]:
    fields = gguf.GGUFReader(MODEL).fields
    tokens, types, merges = (fields[f"tokenizer.ggml.{key}"].contents() for key in ("tokens", "token_type", "merges"))
    ids: dict[str, list[list[int]]] = {}
    for pre in PRE_TOKENIZERS:
        path = folder / f"{pre}.gguf"
        writer = start_model(path, len(tokens))
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre(pre)
        writer.add_token_list(tokens)
        writer.add_token_types(types)
        writer.add_token_merges(merges)
        writer.add_bos_token_id(1)
        writer.add_eos_token_id(2)
        finish(writer)
        with Server(path) as server:
            ids[pre] = [server.tokenize(text) for text in TEXTS]
            if pre == "smollm":
                as_text = [server.tokenize(text) for text in CONTROL_TEXTS]
                as_control = [server.tokenize(text, special=True) for text in CONTROL_TEXTS]
    return {
        "texts": TEXTS,
        "ids": ids,
        "control_texts": CONTROL_TEXTS,
        "control_as_text": as_text,
        "control_as_control": as_control,
    }


def sentencepiece_ids(folder: Path) -> dict[str, object]:
    corpus = folder / "corpus.txt"
    corpus.write_text("\n".join(line for text in TEXTS * 4 for line in text.split("\n") if line and "\0" not in line))
    sentencepiece.SentencePieceTrainer.train(
        input=str(corpus),
        model_prefix=str(folder / "spm"),
        vocab_size=900,
        model_type="bpe",
        byte_fallback=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        allow_whitespace_only_pieces=True,
        split_digits=True,
        character_coverage=0.99,
        minloglevel=2,
    )
    processor = sentencepiece.SentencePieceProcessor(model_file=str(folder / "spm.model"))
    size = processor.get_piece_size()
    vocabulary = {
        "tokens": [processor.id_to_piece(token) for token in range(size)],
        "scores": [processor.get_score(token) for token in range(size)],
        "types": [piece_type(processor, token) for token in range(size)],
    }
    path = folder / "spm.gguf"
    writer = start_model(path, size)
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(vocabulary["tokens"])
    writer.add_token_scores(vocabulary["scores"])
    writer.add_token_types(vocabulary["types"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    finish(writer)
    texts = [text for text in TEXTS + CONTROL_TEXTS if "\0" not in text]
    with Server(path) as server:
        by_llama_cpp = [server.tokenize(text) for text in texts]
        with_control = [server.tokenize(text, special=True) for text in texts]
    by_sentencepiece = [processor.encode(text) for text in texts]
    return {
        "vocabulary": vocabulary,
        "texts": texts,
        "llama_cpp": by_llama_cpp,
        "llama_cpp_control": with_control,
        "sentencepiece": by_sentencepiece,
    }


def piece_type(processor: sentencepiece.SentencePieceProcessor, token: int) -> int:
    if processor.is_unknown(token):
        return 2
    if processor.is_control(token):
        return 3
    return 6 if processor.is_byte(token) else 1


def start_model(path: Path, vocabulary_size: int) -> gguf.GGUFWriter:
    """A llama of one layer, 32 numbers wide."""
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(4096)
    writer.add_embedding_length(32)
    writer.add_block_count(1)
    writer.add_feed_forward_length(32)
    writer.add_head_count(1)
    writer.add_head_count_kv(1)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(vocabulary_size)
    writer.add_tensor("token_embd.weight", np.zeros((vocabulary_size, 32), np.float16))
    for name in ("output_norm", "blk.0.attn_norm", "blk.0.ffn_norm"):
        writer.add_tensor(f"{name}.weight", np.ones(32, np.float32))
    for name in ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"):
        writer.add_tensor(f"blk.0.{name}.weight", np.zeros((32, 32), np.float16))
    return writer


def finish(writer: gguf.GGUFWriter) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


class Server:
    """llama.cpp's server on a model."""

    def __init__(self, path: Path) -> None:
        params = xllamacpp.CommonParams()
        params.model.path = str(path)
        params.n_ctx = 64
        params.n_parallel = 1
        params.warmup = False
        params.port = 0
        self._server = xllamacpp.Server(params)

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        del self._server

    def tokenize(self, text: str, *, special: bool = False) -> list[int]:
        body = json.dumps({"content": text, "add_special": False, "parse_special": special}).encode()
        request = urllib.request.Request(
            f"{self._server.listening_address}/tokenize", body, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)["tokens"]


if __name__ == "__main__":
    main()
