"""How the tables came to be, step by step. `HEAD` is the newest step: what this version of the program works with."""

HEAD = "0001"
