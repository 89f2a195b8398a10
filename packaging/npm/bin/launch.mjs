#!/usr/bin/env node
// Runs the program of this platform: the one of the platform's package, or the one that ASYNC_QUERY_MCP_BINARY names.
// Nothing is downloaded. Input, output, signals and the exit code are passed through.

import { spawn } from 'node:child_process';
import { createRequire } from 'node:module';
import { constants } from 'node:os';

const platform = `${process.platform}-${process.arch}`;
const program = process.platform === 'win32' ? 'async-query-mcp.exe' : 'async-query-mcp';

function find() {
  if (process.env.ASYNC_QUERY_MCP_BINARY) return process.env.ASYNC_QUERY_MCP_BINARY;
  try {
    return createRequire(import.meta.url).resolve(`async-query-mcp-${platform}/bin/${program}`);
  } catch {
    return undefined;
  }
}

function fail(message) {
  process.stderr.write(`async-query-mcp: ${message}\n`);
  process.exit(2);
}

const binary = find();
if (!binary) {
  fail(
    `there is no program for ${platform} in this installation. Install again without --omit=optional, or build it ` +
      'with cargo and name it in ASYNC_QUERY_MCP_BINARY',
  );
}

const child = spawn(binary, process.argv.slice(2), { stdio: 'inherit' });
child.on('error', (error) => fail(`cannot start ${binary}: ${error.message}`));

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.on(signal, () => {
    // A terminal sends its interruption to both; a second one would be taken for impatience.
    const terminal = signal === 'SIGINT' && (process.stdin.isTTY || process.stderr.isTTY);
    if (!terminal) child.kill(signal);
  });
}

child.on('exit', (code, signal) => process.exit(code ?? 128 + (constants.signals[signal] ?? 0)));
