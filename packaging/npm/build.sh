#!/usr/bin/env bash
# Packs the npm packages of this platform from a release binary, installs them offline and runs the server from them.
# Usage: build.sh PATH_TO_BINARY [OUTPUT_DIRECTORY]; needs Node.js with npm.
set -euo pipefail
binary=$(realpath "$1")
output=$(realpath -m "${2:-$(dirname "$0")/../../target/packages}")
here=$(realpath "$(dirname "$0")")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$output" "$work/staged" "$work/user"

node "$here/stage.mjs" "$binary" "$work/staged"
packed=()
for package in "$work"/staged/*; do
  packed+=("$output/$(cd "$package" && npm pack --silent --pack-destination "$output")")
done

cd "$work/user"
npm init --yes --silent >/dev/null
npm install --offline --ignore-scripts --no-audit --no-fund --loglevel=error "${packed[@]}"
node "$here/check.mjs" "$work/user"
printf 'npm: %s\n' "${packed[@]}"
