#!/bin/sh
# Lets one line of the official connector judge the stand-in service.
# Usage: judge.sh 48|52 [DIRECTORY_FOR_THE_ENVIRONMENT]; needs PyPI the first time.
set -eu
line=$1
here=$(cd "$(dirname "$0")" && pwd)
environment=${2:-${TMPDIR:-/tmp}/judge-$line}
[ -x "$environment/bin/python" ] || python3 -m venv --clear "$environment"
"$environment/bin/pip" install --quiet --requirement "$here/requirements-$line.txt"
(cd "$here/../../.." && cargo build --quiet --package integration-tests --bin fake-snowflake)
out=$(mktemp)
binary=${CARGO_TARGET_DIR:-$here/../../../target}/debug/fake-snowflake
"$binary" --port 0 >"$out" &
service=$!
trap 'kill $service; rm -f "$out"' EXIT
until [ -s "$out" ]; do
    kill -0 $service
    sleep 0.1
done
"$environment/bin/python" "$here/judge_connector.py" "$(sed 's/.*://' "$out")"
