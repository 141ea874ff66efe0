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
if [ $# -gt 0 ]; then
    exec "$python" -m pytest --hypothesis-profile=ci "$@"
fi

# All tests, in two halves beside each other, since many of them wait for a browser, a socket or a process.
half="tests/backends tests/bench tests/engine tests/server"
told=$(mktemp)
"$python" -m pytest --hypothesis-profile=ci -p no:cacheprovider $half >"$told" 2>&1 &
beside=$!
trap 'kill "$beside" 2>/dev/null || true; rm -f "$told"' EXIT
status=0
# shellcheck disable=SC2046 # one word for each folder
"$python" -m pytest --hypothesis-profile=ci $(printf ' --ignore=%s' $half) || status=$?
wait "$beside" || status=$?
echo "The other half, which ran beside it: $half"
cat "$told"
exit "$status"
