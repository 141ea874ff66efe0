"""`python cli.py`: the terminal's program. `python cli.py --help` lists what it does."""

from terminal.program import main

if __name__ == "__main__":
    main()
