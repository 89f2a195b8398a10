#!/usr/bin/env bash
# The MCP Inspector's command line against the real binary: handshake, tool list, a fast query and an error, in both
# protocol eras. Usage: inspector_smoke.sh PATH_TO_BINARY, after `npm ci --ignore-scripts` in this folder.
set -euo pipefail
server=$(realpath "$1")
exports=$(mktemp -d)
trap 'rm -rf "$exports"' EXIT
cd "$(dirname "$0")"
inspector=(node node_modules/.bin/mcp-inspector --cli -q --format json)
passed=0

fail() {
  printf 'inspector: %s\n%s\n' "$1" "${2:-}" >&2
  exit 1
}

# expect NAME EXIT_CODE TEXT -- ARGUMENTS: runs the Inspector and looks for TEXT in what it prints.
expect() {
  local name=$1 code=$2 text=$3 output status=0
  shift 4
  output=$("${inspector[@]}" "$@" -- "$server" --ephemeral --export-dir "$exports" 2>&1) || status=$?
  [ "$status" = "$code" ] || fail "$name ended with $status, expected $code" "$output"
  grep -qF -- "$text" <<<"$output" || fail "$name does not say $text" "$output"
  passed=$((passed + 1))
}

tool() { printf '{"sql": "%s"}' "$1"; }

expect 'the handshake' 0 'async-query-mcp' -- --method initialize
for era in legacy auto modern; do
  expect "the tool list ($era)" 0 'async_execute_query' -- --protocol-era "$era" --method tools/list --strict
  expect "a fast query ($era)" 0 '"succeeded"' -- --protocol-era "$era" --method tools/call \
    --tool-name async_execute_query --tool-args-json "$(tool 'select 41 + 1 as answer')"
  expect "a wrong statement ($era)" 5 'no such table' -- --protocol-era "$era" --method tools/call \
    --tool-name async_execute_query --tool-args-json "$(tool 'select * from no_such_table')"
  expect "the resources ($era)" 0 '"resources"' -- --protocol-era "$era" --method resources/list
  expect "the addresses of resources ($era)" 0 'async-query://results/{query_id}{?offset,limit}' -- \
    --protocol-era "$era" --method resources/templates/list
done
expect 'an unknown query' 5 'q_00000000000000000000000000' -- --method tools/call \
  --tool-name query_status --tool-args-json '{"query_id": "q_00000000000000000000000000"}'
expect 'a wrong argument' 5 'sqll' -- --method tools/call \
  --tool-name async_execute_query --tool-args-json '{"sqll": "select 1"}'

echo "inspector: $passed passed, 0 failed"
