"""The keyboard while nobody is asked for anything: what is typed is kept for the next prompt, and not shown."""

from __future__ import annotations

import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager

INPUT_FLAGS, LOCAL_FLAGS = 0, 3  # where termios keeps them in its list


@contextmanager
def silent() -> Iterator[None]:
    """Keys do not show; Ctrl-C still interrupts. Does nothing where the input is no terminal."""
    if not sys.stdin.isatty():
        yield
        return
    keyboard = sys.stdin.fileno()
    before = termios.tcgetattr(keyboard)
    during = termios.tcgetattr(keyboard)
    during[INPUT_FLAGS] &= ~termios.ICRNL  # Enter stays Enter, which is another key than Ctrl-J
    during[LOCAL_FLAGS] &= ~(termios.ECHO | termios.ICANON)
    termios.tcsetattr(keyboard, termios.TCSADRAIN, during)
    try:
        yield
    finally:
        termios.tcsetattr(keyboard, termios.TCSADRAIN, before)
