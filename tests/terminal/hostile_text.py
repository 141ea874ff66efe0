"""What a model, or whoever names a chat or a model, might write to take over a terminal."""

from __future__ import annotations

HOSTILE = {
    "the cursor": "a\x1b[2J\x1b[1;1Hb",
    "the clipboard, OSC 52": "a\x1b]52;c;ZXZpbA==\x07b",
    "the clipboard, ended by ST": "a\x1b]52;c;ZXZpbA==\x1b\\b",
    "a link, OSC 8": "a\x1b]8;;https://evil.example\x1b\\click\x1b]8;;\x1b\\b",
    "the title": "a\x1b]0;root@bank\x07b",
    "a question that types its answer": "a\x1b[c\x1b[6n\x1b]10;?\x07\x05b",
    "C1 in one character": "a\x9b2J\x9d52;c;ZXZpbA==\x9cb",
    "a device control string": "a\x1bP$q\x1b\\\x90+q\x9cb",
    "another character set": "a\x1b(0\x0e\x1bcb",
    "backspaces and returns": "safe\b\b\b\bevil\rgone\x7f\x0b\x0cb",
    "colours of ours": "a\x1b[31;8mhidden\x1b[0mb",
    "mouse, paste and screen modes": "a\x1b[?1049h\x1b[?1000h\x1b[?2004l\x1b>b",
    "bidirectional overrides": "a\u202egnp.exe\u202c \u2066x\u2069 \u200f\u200e\u061cb",
    "invisible characters": "a\u200bb\ufeff\u2060c\U000e0041\U000e007f\u180e\u00adb",
    "odd line ends": "a\u2028b\u2029c\x85d\x1c\x1d\x1eb",
    "half a surrogate": "a\ud83db",
    "nothing": "a\x00b",
}
MARKDOWN = {
    "in code": "`\x1b]52;c;eA==\x07`",
    "in a fence": "```\x1b]0;x\x07\n\x1b[2J\n```",
    "in a link": "[a\x1b]8;;x\x07](https://e.example/\x1b]8;;y\x07 '\x1b[2J')",
    "in a picture": "![\x1b[2J](https://e.example/\x9b)",
    "as entities": "&#27;[2J &#x9b;2J &#x202e;abc &#x200b; &ZeroWidthSpace; &rlm;",
    "in an address": "<https://e.example/%1b]52;c;x%07%e2%80%ae>",
    "in a table": "| a\x1b[2J | b |\n|---|---|\n| &#x202e; | [x](javascript:\x1b) |",
    "in a heading": "# \x1b]0;x\x07\n\n> \x9b2J\n\n1. \x1b[1A",
    "as markup of ours": "[bold red]no[/] [link=https://e.example]x[/link] :smile: [@click=app.bell]y[/]",
}
