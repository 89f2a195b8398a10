#!/bin/sh
# Lets the driver protocol of ours meet fakesnow, an emulator of Snowflake that others wrote.
# Usage: judge_fakesnow.sh [DIRECTORY_FOR_THE_ENVIRONMENT]; needs PyPI the first time.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
environment=${1:-${TMPDIR:-/tmp}/judge-fakesnow}
[ -x "$environment/bin/python" ] || python3 -m venv --clear "$environment"
"$environment/bin/pip" install --quiet --requirement "$here/requirements-fakesnow.txt"
environment=$(cd "$environment" && pwd)
cd "$here/../../.."
# As the whole suite is built, so that nothing is built twice.
cargo test --quiet --locked --workspace --test snowflake --no-run

port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
log=$(mktemp)
"$environment/bin/fakesnow" --server --host 127.0.0.1 --port "$port" >"$log" 2>&1 &
service=$!
trap 'kill $service; rm -f "$log"' EXIT
tries=0
until python3 -c "import socket; socket.create_connection(('127.0.0.1', $port), 1)" 2>/dev/null; do
    tries=$((tries + 1))
    if [ "$tries" -gt 150 ] || ! kill -0 $service; then
        cat "$log"
        exit 1
    fi
    sleep 0.2
done
FAKESNOW_PORT=$port cargo test --quiet --locked --workspace --test snowflake fakesnow || {
    cat "$log"
    exit 1
}
