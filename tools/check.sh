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
others=$(printf ' --ignore=%s' $engine $server)
told=$(mktemp -d)
pytest="$python -m pytest --hypothesis-profile=ci -o cache_dir=$told"
# shellcheck disable=SC2086 # one word for each folder, here and below
$pytest/engine.cache $engine >"$told/engine" 2>&1 &
first=$!
$pytest/server.cache $server >"$told/server" 2>&1 &
second=$!
trap 'kill "$first" "$second" 2>/dev/null || true; rm -rf "$told"' EXIT
of_others=0 of_engine=0 of_server=0 status=0
$pytest/others.cache $others || of_others=$?
wait "$first" || of_engine=$?
wait "$second" || of_server=$?
echo "What ran beside it: $engine"
cat "$told/engine"
echo "And: $server"
cat "$told/server"

# What failed beside the others has to pass alone: three parts at once may be more than a small machine can bear.
alone() { # STATUS NAME ARGUMENTS...
    failed=$1 name=$2
    shift 2
    if [ "$failed" -eq 1 ]; then
        echo "SOME TESTS FAILED BESIDE OTHERS; once more, alone: $name"
        $pytest/"$name".cache --last-failed --last-failed-no-failures none "$@" || status=$?
    elif [ "$failed" -ne 0 ]; then
        status=$failed
    fi
}
alone "$of_others" others $others
alone "$of_engine" engine $engine
alone "$of_server" server $server
exit "$status"
