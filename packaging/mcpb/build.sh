#!/usr/bin/env bash
# Builds an MCP bundle for this platform from a release binary, and starts the server from the finished bundle.
# Usage: build.sh PATH_TO_BINARY [OUTPUT_DIRECTORY]; needs Node.js with npm.
set -euo pipefail
binary=$(realpath "$1")
output=$(realpath -m "${2:-$(dirname "$0")/../../target/packages}")
cd "$(dirname "$0")"

npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$output" "$work/bundle/server"

node stage.mjs "$binary" "$work/bundle"
mcpb=node_modules/.bin/mcpb
"$mcpb" validate "$work/bundle/manifest.json"
bundle="$output/$(node -p "const m = require('$work/bundle/manifest.json'); m.name + '-' + m.version").mcpb"
"$mcpb" pack "$work/bundle" "$bundle" >"$work/pack.log" || { cat "$work/pack.log"; exit 1; }
"$mcpb" unpack "$bundle" "$work/unpacked" >"$work/unpack.log" || { cat "$work/unpack.log"; exit 1; }
node check.mjs "$work/unpacked"
echo "bundle: $bundle has $(stat -c %s "$bundle" 2>/dev/null || stat -f %z "$bundle") bytes"
