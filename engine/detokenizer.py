"""Text out of tokens as they come: whole characters only, and nothing that could still become a stop string.

Knows nothing of vocabularies: a token is its bytes.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Sequence


class StreamDecoder:
    """The text of a stream of token ids, in pieces that never end inside a character.

    All pieces joined are the text of all ids decoded at once. Bytes that are not UTF-8 become U+FFFD. Each token costs
    the same, however long the answer is.
    """

    def __init__(self, token_bytes: Callable[[int], bytes], *, strip_first_space: bool = False) -> None:
        self._token_bytes = token_bytes
        self._strip_space = strip_first_space
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def push(self, token_id: int) -> str:
        """What is certain now and was not before: often a piece of text, or nothing in mid-character."""
        data = self._token_bytes(token_id)
        if self._strip_space and data:
            self._strip_space = False
            data = data.removeprefix(b" ")
        return self._decoder.decode(data)

    def flush(self) -> str:
        """What is left at the end: U+FFFD for a character that was never finished."""
        return self._decoder.decode(b"", final=True)


class StopChecker:
    """Ends a text before the first stop string in it, however it is cut into pieces.

    Of several, the one that ends first counts; of those ending together, the longest.
    """

    def __init__(self, stop: Sequence[str]) -> None:
        self._stop = tuple(text for text in stop if text)
        self._longest = max((len(text) for text in self._stop), default=0)
        self._held = ""
        self.stopped = False

    def push(self, text: str) -> tuple[str, bool]:
        """(text that is safe to show, whether a stop string ended the answer). After the end there is no more text."""
        if self.stopped:
            return "", True
        held = len(self._held)
        text = self._held + text
        start = self._first_stop(text, held)
        if start is not None:
            self._held, self.stopped = "", True
            return text[:start], True
        safe = len(text) - self._possible_beginning(text)
        self._held = text[safe:]
        return text[:safe], False

    def flush(self) -> str:
        """What was held back, when the answer ends otherwise."""
        held, self._held = self._held, ""
        return held

    def _first_stop(self, text: str, held: int) -> int | None:
        """Where the stop string starts that ends first. It ends in what is new, past the first `held` characters."""
        found = [
            (start + len(stop), start)
            for stop in self._stop
            if (start := text.find(stop, max(0, held - len(stop) + 1))) >= 0
        ]
        return min(found)[1] if found else None

    def _possible_beginning(self, text: str) -> int:
        """How many characters at the end of `text` could be the beginning of a stop string."""
        for length in range(min(self._longest - 1, len(text)), 0, -1):
            ending = text[-length:]
            if any(stop.startswith(ending) for stop in self._stop):
                return length
        return 0
