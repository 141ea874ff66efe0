#!/usr/bin/env bash
# Checks a running Switchboard from outside: bash verify.sh [URL]. Needs bash, curl and python3, nothing else.
# Exits with the number of checks that failed. OLLAMA_HOST and OLLAMA_MODEL come from the environment or .env.
# Where the server asks for a key, SWITCHBOARD_KEY holds one.
set -uo pipefail
cd "$(dirname "$0")" || exit 1

url=${1:-http://127.0.0.1:8000}
url=${url%/}
body=$(mktemp)
trap 'rm -f "$body"' EXIT
failed=()

check() { # NAME, HOW TO MEND IT, COMMAND... which prints one line about what it found
    local name=$1 mend=$2 found
    shift 2
    if found=$("$@" 2>&1); then
        printf '  ok    %-13s %s\n' "$name" "$found"
    else
        printf '  FAIL  %-13s %s\n        %-13s %s\n' "$name" "$found" "" "$mend"
        failed+=("$name")
    fi
}

serves() { # PATH, TYPE [, TEXT THAT MUST BE IN IT]
    local answer status type
    answer=$(curl --silent --show-error --max-time 10 --output "$body" --write-out '%{http_code} %{content_type}' "$url$1") ||
        { echo "$url$1 does not answer in time"; return 1; }
    status=${answer%% *} type=${answer#* }
    [ "$status" = 200 ] || { echo "$1 answered $status: $(head -c 300 "$body")"; return 1; }
    [[ $type == $2* ]] || { echo "$1 is served as ${type:-nothing}, not as $2"; return 1; }
    [ $# -lt 3 ] || grep -q "$3" "$body" || { echo "$1 does not hold the word $3"; return 1; }
    echo "$1 ($(wc -c <"$body") bytes)"
}

printf 'Switchboard at %s\n' "$url"
if ! curl --silent --output /dev/null --max-time 10 "$url/"; then
    printf '  FAIL  %-13s nothing answers there\n        %-13s %s\n' server "" "Start it with make serve, or name another URL."
    exit 1
fi

logs="The server's log says why; make serve prints it, docker compose logs app shows it."
check page "Is something else listening there? $logs" serves / text/html Switchboard
check style.css "Is static/style.css where it belongs?" serves /static/style.css text/css
check script.js "Is static/script.js where it belongs?" serves /static/script.js text/javascript
check live "$logs" serves /health/live application/json
check models "Run make model, or start Ollama and pull a model." python3 -m tools.verify models "$url"
check health "No backend can answer. $logs" serves /health application/json
check ready "It is starting, stopping, or has more to do than it can. Try again in a moment. $logs" serves /health/ready application/json
check websocket "A proxy in between must pass WebSockets on. $logs" python3 -m tools.verify websocket "$url"
check ollama "Start Ollama (ollama serve), pull the model, or empty OLLAMA_HOST in .env." python3 -m tools.verify ollama "$url"

if ((${#failed[@]})); then
    printf 'Failed: %s\n' "${failed[*]}"
else
    echo "All is well."
fi
exit ${#failed[@]}
