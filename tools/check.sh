#!/bin/sh
# Runs every check with the Python given; further arguments go to pytest. The first failure ends it.
set -eu

python=$1
shift
echo "ruff"
"$python" -m ruff check --quiet .
"$python" -m ruff format --check --quiet .
echo "mypy"
"$python" -m mypy
# One thread: the tests' models are tiny, and threads that wait for each other only slow them.
export OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1
exec "$python" -m pytest --hypothesis-profile=ci "$@"
