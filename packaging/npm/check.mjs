// Runs the installed launcher as a client and as a person would: input, output, signals and exit codes get through.
// Usage: node check.mjs DIRECTORY_WITH_NODE_MODULES

import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { converse } from '../conversation.mjs';

const ENDLESS = 'with recursive n(i) as (select 1 union all select i + 1 from n) select count(*) from n';
const directory = resolve(process.argv[2]);
const launcher = join(directory, 'node_modules', 'async-query-mcp', 'bin', 'launch.mjs');
const home = mkdtempSync(join(tmpdir(), 'npm-check-'));
const options = { cwd: directory, env: { ...process.env, HOME: home, LOCALAPPDATA: home } };
const npx = (...args) =>
  spawnSync('npx', ['--no', 'async-query-mcp', '--', '--ephemeral', ...args], { ...options, encoding: 'utf8' });

async function clientTalksThroughNpx() {
  const talk = await converse('npx', ['--no', 'async-query-mcp', '--', '--ephemeral'], options);
  assert.equal(talk.server.name, 'async-query-mcp');
  assert.equal(talk.tools.length, 5);
  assert.equal(talk.answer.status, 'succeeded');
  assert.deepEqual(talk.end, { code: 0, signal: null });
}

function outputAndExitCodesGetThrough() {
  const fine = npx('run', 'select 7 as lucky', '--format', 'csv');
  assert.deepEqual([fine.status, fine.stdout], [0, 'lucky\n7\n'], fine.stderr);
  assert.equal(npx('run', 'select * from no_such_table').status, 1);
  assert.equal(npx('--no-such-flag').status, 2);
}

/** Starts a query without end and sends `signal` to the launcher alone, once the query runs. */
function interrupted(signal) {
  return new Promise((settle, reject) => {
    const args = [launcher, '--ephemeral', 'run', ENDLESS, '--log-level', 'info'];
    const child = spawn(process.execPath, args, { ...options, stdio: ['ignore', 'ignore', 'pipe'] });
    const late = setTimeout(() => child.kill('SIGKILL'), 60_000);
    let log = '';
    let sent = false;
    child.stderr.setEncoding('utf8').on('data', (text) => {
      log += text;
      if (!sent && log.includes('to=running')) sent = child.kill(signal);
    });
    child.on('error', reject);
    child.on('close', (code) => {
      clearTimeout(late);
      settle({ code, log });
    });
  });
}

async function signalsGetThrough() {
  const { code, log } = await interrupted('SIGINT');
  assert.equal(code, 130, log);
  assert.match(log, /is canceled; the engine confirmed/);
  const ended = await interrupted('SIGTERM');
  assert.notEqual(ended.code, 0, ended.log);
  assert.match(ended.log, /is canceled/);
}

function missingProgramIsExplained() {
  const alone = join(home, 'launch.mjs');
  copyFileSync(launcher, alone);
  const refused = spawnSync(process.execPath, [alone], { ...options, encoding: 'utf8' });
  assert.equal(refused.status, 2);
  assert.match(refused.stderr, /ASYNC_QUERY_MCP_BINARY/);
}

function namedProgramIsRun() {
  const env = { ...options.env, ASYNC_QUERY_MCP_BINARY: process.execPath };
  const other = spawnSync(process.execPath, [launcher, '-p', '6 * 7'], { ...options, env, encoding: 'utf8' });
  assert.equal(other.stdout.trim(), '42');
}

try {
  await clientTalksThroughNpx();
  outputAndExitCodesGetThrough();
  if (process.platform !== 'win32') await signalsGetThrough();
  missingProgramIsExplained();
  namedProgramIsRun();
} finally {
  rmSync(home, { recursive: true, force: true });
}
console.log('npm: the launcher passes on input, output, signals and exit codes');
