// Reads the Containerfile as far as that tells whether an image would be what it should be.
// Usage: node check.mjs

import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const top = join(import.meta.dirname, '..', '..');
const KNOWN = ['ARG', 'FROM', 'WORKDIR', 'COPY', 'RUN', 'ENV', 'VOLUME', 'USER', 'ENTRYPOINT'];

const lines = readFileSync(join(import.meta.dirname, 'Containerfile'), 'utf8').split('\n');
const steps = lines
  .filter((line) => line && !line.startsWith('#'))
  .map((line) => ({ word: line.split(' ')[0], rest: line.slice(line.indexOf(' ') + 1) }));
const stages = [];
for (const step of steps) {
  assert.ok(KNOWN.includes(step.word), `unknown instruction ${step.word}`);
  if (step.word === 'FROM') stages.push([]);
  stages.at(-1)?.push(step);
}
const of = (stage, word) => stage.filter((step) => step.word === word).map((step) => step.rest);

const copies = steps.filter((step) => step.word === 'COPY').map((step) => step.rest.split(' '));
for (const words of copies.filter((words) => !words[0].startsWith('--'))) {
  for (const source of words.slice(0, -1)) assert.ok(existsSync(join(top, source)), `${source} is not there to copy`);
}

const cargo = readFileSync(join(top, 'Cargo.toml'), 'utf8');
const [, needed] = cargo.match(/rust-version = "1\.(\d+)"/);
const [, used] = steps[0].rest.match(/^RUST=1\.(\d+)$/);
assert.ok(Number(used) >= Number(needed), `Rust 1.${used} is older than the 1.${needed} that is needed`);

assert.equal(stages.length, 2);
const last = stages[1];
const program = JSON.parse(of(last, 'ENTRYPOINT')[0])[0];
assert.ok(of(last, 'COPY').some((rest) => rest.startsWith('--from=build') && rest.endsWith(program)));
assert.match(of(last, 'USER')[0], /^[1-9]\d*:[1-9]\d*$/, 'the server runs as a user without rights');
const state = of(last, 'ENV')[0].split('=');
assert.equal(state[0], 'ASYNC_QUERY_MCP_STATE_DIR');
assert.deepEqual(JSON.parse(of(last, 'VOLUME')[0]), [state[1]]);
assert.equal(of(last, 'RUN').length, 0, 'the last stage has no shell');
console.log('container: the Containerfile says what it should; no image was built');
