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

# All tests, in three parts beside each other, since many of them wait for a browser, a socket or a process.
engine="tests/engine tests/backends tests/bench tests/clients"
server="tests/server tests/faults tests/terminal"
told=$(mktemp -d)
# shellcheck disable=SC2086 # one word for each folder
{
    "$python" -m pytest --hypothesis-profile=ci -p no:cacheprovider $engine >"$told/engine" 2>&1 &
    first=$!
    "$python" -m pytest --hypothesis-profile=ci -p no:cacheprovider $server >"$told/server" 2>&1 &
    second=$!
}
trap 'kill "$first" "$second" 2>/dev/null || true; rm -rf "$told"' EXIT
status=0
# shellcheck disable=SC2046 # one word for each folder
"$python" -m pytest --hypothesis-profile=ci $(printf ' --ignore=%s' $engine $server) || status=$?
wait "$first" || status=$?
wait "$second" || status=$?
echo "What ran beside it: $engine"
cat "$told/engine"
echo "And: $server"
cat "$told/server"
exit "$status"
