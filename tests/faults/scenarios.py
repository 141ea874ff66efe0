"""What can go wrong, by number: the scenarios that the tests in this folder go through."""

from __future__ import annotations

import re

SCENARIOS: dict[int, str] = {
    1: "a client killed in mid-answer gets exactly what it missed",
    2: "a client away for longer than the window gets one snapshot",
    3: "another life of the server never mixes with the one before",
    4: "a place that cannot be is an error, and the connection stays",
    5: "a late reader of events gets the same text",
    6: "twenty readers, killed at random, end alike",
    7: "coming back while the model loads",
    8: "the connection lost between the last token and the end",
    9: "one command sent five times is done once",
    10: "two prompts at once: one waits, and nothing interleaves",
    11: "stop frees the engine within a step",
    12: "an answer nobody watches is abandoned and kept",
    13: "a plain request whose client leaves is cancelled",
    14: "characters spread over tokens arrive whole",
    15: "one reader that stops does not hold up ten",
    16: "the same for a reader of events",
    17: "a silent peer is found out and forgotten",
    18: "five messages during an answer, and a long read",
    19: "a flood of pings costs no memory",
    20: "thousands of visits leave nothing behind",
    21: "thousands of idle connections answer, and are light",
    22: "one connection too many is refused before it opens",
    23: "half a request is closed at the deadline",
    24: "heads too large are refused",
    25: "a flood of messages is limited",
    26: "a flood of prompts is refused at once, and the server stays alive",
    27: "one with many prompts does not hold up another",
    28: "frames too large are refused at their head",
    29: "text that is no UTF-8 closes the connection",
    30: "broken frames close the connection",
    31: "a small frame that unpacks to a huge one is refused",
    32: "the WebSocket protocol's own conformance cases",
    33: "whatever is no command is an error, and the connection stays",
    34: "a binary frame where text is due",
    35: "numbers no model could use are refused, and the engine never sees them",
    36: "text that looks like the stream's own marks",
    37: "closing while the server sends",
    38: "a backend killed in mid-answer",
    39: "a backend that stalls, refuses, lies, drips or floods",
    40: "an error inside a good answer",
    41: "the server told to stop in mid-answer",
    42: "the server killed, told twice, or told while it loads",
    43: "the engine's thread dies",
    44: "the disk is full",
    45: "the history is damaged, or somebody else's",
    46: "the clock jumps back",
    47: "no more file descriptors",
    50: "the event loop is never held up",
    57: "model names that lead elsewhere",
    58: "a folder of models that nobody should have",
    59: "a page of another origin opens no socket",
    60: "another host name reaches nothing",
    61: "without a good key nothing is answered, and no key is told",
    62: "somebody else's conversation is one that nobody knows",
    63: "limits behind proxies, and addresses made up",
    64: "what other sites make a browser send changes nothing",
    65: "addresses that lead elsewhere",
    68: "headers on every answer",
    69: "text of others does nothing to the terminal",
    70: "what clients send cannot forge a line of the log",
    71: "paths and ranges that lead out of the page's files",
    72: "refusals that tell of the server",
    74: "nothing private in what the probes and measures say",
}
TEST_NAME = re.compile(r"test_(\d\d)_")


def number_of(test_name: str) -> int | None:
    """The scenario that a test of that name goes through."""
    found = TEST_NAME.match(test_name)
    return int(found[1]) if found else None
