#!/usr/bin/env bash
# The command line on a real terminal, as tmux shows it: the progress line, the list that is redrawn in place, Ctrl-C
# that cancels and tells what the engine said, and Ctrl-C twice that quits at once.
# Usage: terminal.sh PATH_TO_BINARY PATH_TO_FAKE_SNOWFLAKE; needs Linux and tmux.
set -euo pipefail
binary=$(realpath "$1")
fake=$(realpath "$2")
command -v tmux >/dev/null || { echo 'terminal: tmux is not installed' >&2; exit 1; }

directory=$(mktemp -d)
# A server of its own, so that no session of the person who runs this is touched.
tmux() { command tmux -S "$directory/tmux" -f /dev/null "$@"; }
service=''
finish() {
  tmux kill-server 2>/dev/null || true
  [ -z "$service" ] || kill "$service" 2>/dev/null || true
  rm -rf "$directory"
}
trap finish EXIT

"$fake" --port 0 >"$directory/address" &
service=$!
until [ -s "$directory/address" ]; do
  kill -0 "$service"
  sleep 0.1
done
port=$(sed 's/.*://' "$directory/address")

endless='with recursive n(i) as (select 1 union all select i + 1 from n) select count(*) from n'
counting='with recursive n(i) as (select 1 union all select i + 1 from n) select i from n'
cat >"$directory/environment" <<END
PS1='ready> '
unset PROMPT_COMMAND NO_COLOR RUST_LOG
export ASYNC_QUERY_MCP_STATE_DIR='$directory/state' SNOWFLAKE_HOME='$directory/none'
export SNOWFLAKE_CONNECTIONS_TEST_ACCOUNT=acme-test SNOWFLAKE_CONNECTIONS_TEST_USER=ada
export SNOWFLAKE_CONNECTIONS_TEST_HOST=127.0.0.1 SNOWFLAKE_CONNECTIONS_TEST_PORT=$port
export SNOWFLAKE_CONNECTIONS_TEST_PROTOCOL=http SNOWFLAKE_CONNECTIONS_TEST_API=sql
export SNOWFLAKE_CONNECTIONS_TEST_AUTHENTICATOR=PROGRAMMATIC_ACCESS_TOKEN SNOWFLAKE_CONNECTIONS_TEST_TOKEN=token
export SNOWFLAKE_CONNECTIONS_BAD_ACCOUNT=acme-test SNOWFLAKE_CONNECTIONS_BAD_USER=ada
export SNOWFLAKE_CONNECTIONS_BAD_HOST=127.0.0.1 SNOWFLAKE_CONNECTIONS_BAD_PORT=1
export SNOWFLAKE_CONNECTIONS_BAD_PROTOCOL=http SNOWFLAKE_CONNECTIONS_BAD_PASSWORD=password
endless='$endless'
counting='$counting'
q() { '$binary' "\$@"; }
END
# shellcheck source=/dev/null
. "$directory/environment"
tmux new-session -d -s t -x 110 -y 30 "bash --noprofile --rcfile '$directory/environment' -i"

passed=0
pane() { tmux capture-pane -p -t t; }
type_in() { tmux send-keys -t t -l -- "$1"; tmux send-keys -t t Enter; }
key() { tmux send-keys -t t "$1"; }
fail() {
  printf 'terminal: %s\n----\n%s\n----\n' "$1" "$(pane)" >&2
  exit 1
}
# until_shown NAME PATTERN: waits until a line of the pane matches.
until_shown() {
  local end=$((SECONDS + 60))
  until pane | grep -qE -- "$2"; do
    [ "$SECONDS" -lt "$end" ] || fail "$1: nothing matches $2"
    sleep 0.1
  done
  passed=$((passed + 1))
}
shows_not() {
  if pane | grep -qE -- "$2"; then fail "$1: something matches $2"; fi
  passed=$((passed + 1))
}
lines_with() { pane | grep -cE -- "$1" || true; }
# Clears with the command given, and waits until nothing but a prompt is left.
clear_screen() {
  type_in "${1:-clear}"
  until [ "$(pane | tr -d ' \n')" = 'ready>' ]; do
    [ "$SECONDS" -lt 600 ] || fail 'the screen is not cleared'
    sleep 0.1
  done
  passed=$((passed + 1))
}

# Whether the command in the pane has its own way with Ctrl-C by now.
hears_ctrl_c() {
  local pid caught
  pid=$(pgrep -P "$(tmux display-message -p -t t '#{pane_pid}')") || return 1
  caught=$(awk '/^SigCgt/ { print $2 }' "/proc/$pid/status")
  ((0x$caught & 2))
}

until_shown 'a prompt' '^ready>'

# The progress line is one line that is written over itself, and leaves nothing behind.
clear_screen
type_in 'q run "$endless" --timeout 9s; echo "code $?"'
until_shown 'the progress line' '^running: [1-8](\.[0-9])? s'
until_shown 'the progress line later' '^running: [4-8](\.[0-9])? s'
[ "$(lines_with '^running')" = 1 ] || fail 'the progress line is not written over itself'
until_shown 'the end by the time limit' '^code 5$'
shows_not 'a progress line that is cleared' '^running'

# Rows that go through a pipe are not mixed with that line, and a reader that has enough stops the statement.
clear_screen
type_in 'q run "$counting" --format csv | head -3; echo "code ${PIPESTATUS[0]}"'
until_shown 'a row of a statement without end' '^2$'
until_shown 'why it is canceled' '^async-query-mcp: nobody reads the rows; canceling'
until_shown 'the end by its reader' '^code 4$'
shows_not 'a progress line beside rows' '^running'

# An engine out of reach is told on that line, and by no line of a log.
clear_screen
type_in 'q run "select 1" --connection bad=snowflake --timeout 9s; echo "code $?"'
until_shown 'the reason in the progress line' '^pending: [2-8](\.[0-9])? s, engine out of reach: .*…$'
shows_not 'a line of the log' 'the engine cannot be reached; it is tried again'
until_shown 'the end out of reach' '^code 6$'
shows_not 'a progress line that is cleared' '^pending'

# A query that waits for its place says so.
clear_screen
type_in 'q run "select 1 /* fake: queued=3600 */" --connection test=snowflake; echo "code $?"'
until_shown 'the progress line of a remote query' '^(running|pending): [0-9]+ (s|ms)'
key C-c
until_shown 'the cancel of a remote query' 'is canceled; the engine confirmed that it stopped'
until_shown 'its exit code' '^code 130$'

# Ctrl-C cancels, and tells what the engine said.
clear_screen
type_in 'q run "$endless"; echo "code $?"'
until_shown 'a running query' '^running: '
key C-c
until_shown 'what Ctrl-C does' 'canceling query q_[0-9a-z]+; Ctrl-C again quits at once'
until_shown 'the word of the engine' 'is canceled; the engine confirmed that it stopped'
until_shown 'the exit code of an interruption' '^code 130$'

# Twice quits at once, though the engine does not obey.
clear_screen
type_in 'q run "select 2 /* fake: runs=3600 ignores_cancel */" --connection test=snowflake; echo "code $?"'
until_shown 'a running statement' '^running: '
key C-c
until_shown 'the first Ctrl-C' 'Ctrl-C again quits at once'
key C-c
before=$SECONDS
until_shown 'the second Ctrl-C' 'may still be running at the engine'
until_shown 'its exit code' '^code 130$'
[ $((SECONDS - before)) -le 5 ] || fail 'Ctrl-C twice does not quit at once'

# Ctrl-C also ends the wait for a statement that nobody types.
clear_screen
type_in 'q run -; echo "code $?"'
until hears_ctrl_c; do
  [ "$SECONDS" -lt 600 ] || fail 'the command does not listen'
  sleep 0.1
done
key C-c
until_shown 'an interrupted input' 'code 130$'

# The watched list is redrawn in place, on a screen of its own.
clear_screen 'q prune --all >/dev/null; clear'
type_in 'echo before; q list --watch --interval 0.3; echo "code $?"'
until_shown 'the watched list' 'unfinished, [0-9]+ listed .* q ends'
shows_not 'what was on the first screen' '^before'
"$binary" run "$endless" --label watched >/dev/null 2>&1 &
query=$!
until_shown 'the query of another process' 'running .*watched'
first=$(pane | grep watched)
until [ "$(pane | grep watched)" != "$first" ]; do
  [ "$SECONDS" -lt 600 ] || fail 'the list is not redrawn'
  sleep 0.1
done
[ "$(lines_with watched)" = 1 ] || fail 'the list is not redrawn in place'
[ "$(lines_with '^QUERY')" = 1 ] || fail 'the list has more than one heading'
"$binary" cancel last >/dev/null
wait "$query" || true
until_shown 'its end' 'canceled .*watched'
key q
until_shown 'the end by q' '^code 0$'
until_shown 'the first screen' '^before'
shows_not 'what was on the second screen' 'watched'
# Typed letters are shown again, so the terminal was given back.
type_in 'echo still here'
until_shown 'an echo of what is typed' '^ready> echo still here'

clear_screen
type_in 'q list --watch; echo "code $?"'
until_shown 'the watched list again' 'q ends'
key C-c
until_shown 'the end by Ctrl-C' '^code 0$'

# Colours on a terminal, and none where the environment forbids them.
clear_screen
type_in 'q list --limit 1'
until_shown 'the list' 'canceled'
tmux capture-pane -p -e -t t | grep -q $'\033\[35mcanceled' || fail 'no colours on a terminal'
clear_screen
type_in 'NO_COLOR=1 q list --limit 1'
until_shown 'the list without colours' 'canceled'
if tmux capture-pane -p -e -t t | grep -q $'\033\[35mcanceled'; then fail 'colours despite NO_COLOR'; fi

# No line is wider than the terminal.
tmux resize-window -t t -x 60
clear_screen
type_in 'q list'
until_shown 'a narrow list' '^QUERY'
[ "$(pane | grep -c '^q_')" = "$("$binary" list --json | grep -o '"query_id"' | wc -l)" ] || fail 'a narrow list is wrapped'

# What still runs is shown in a window that is too small for all.
"$binary" run "$endless" --label oldest >/dev/null 2>&1 &
query=$!
until "$binary" list --json --status running | grep -q oldest; do
  [ "$SECONDS" -lt 600 ] || fail 'the oldest query does not run'
  sleep 0.1
done
for _ in {1..16}; do "$binary" run 'select 1' >/dev/null 2>&1; done
tmux resize-window -t t -x 110 -y 15
type_in 'q list --watch; echo "code $?"'
until_shown 'the running query below the ended ones' 'running .*oldest'
until_shown 'the number of the others' '^[0-9]+ more, for which this window has no lines'
until_shown 'the head above them' '^[0-9]+ unfinished, [0-9]+ listed'
key q
until_shown 'the end of the small list' '^code 0$'
# Not the statement that obeys no cancel, whose command is gone.
"$binary" cancel --all >/dev/null || true
wait "$query" || true

echo "terminal: $passed looks at a terminal passed"
