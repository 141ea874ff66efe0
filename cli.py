"""`python cli.py`: the terminal's program. `python cli.py --help` lists what it does.

Where its packages are missing, it goes on with the Python that `make serve` installed them for, or says what to do.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

INSTALLED = Path(__file__).resolve().parent / ".venv" / "bin" / "python"


def start() -> None:
    """Run the command line."""
    try:
        from terminal.program import main
    except ModuleNotFoundError as error:
        if INSTALLED.exists() and Path(sys.prefix) != INSTALLED.parent.parent:
            os.execv(INSTALLED, [str(INSTALLED), *sys.argv])
        sys.exit(f"The package {error.name} is missing. `make serve` installs all that is needed, into .venv.")
    main()


if __name__ == "__main__":
    start()
