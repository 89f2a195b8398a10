// Starts the server from an unpacked bundle, by the bundle's own command as the official tool expands it.
// Usage: node check.mjs DIRECTORY

import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve, sep } from 'node:path';
import { getMcpConfigForManifest } from '@anthropic-ai/mcpb';
import { converse } from '../conversation.mjs';

const directory = resolve(process.argv[2]);
const manifest = JSON.parse(readFileSync(join(directory, 'manifest.json'), 'utf8'));
const config = await getMcpConfigForManifest({
  manifest,
  extensionPath: directory,
  systemDirs: {},
  userConfig: {},
  pathSeparator: sep,
  logger: console,
});
assert.ok(!JSON.stringify(config).includes('${'), `not everything is filled in: ${JSON.stringify(config)}`);

const home = mkdtempSync(join(tmpdir(), 'mcpb-check-'));
try {
  const env = { HOME: home, LOCALAPPDATA: home, SYSTEMROOT: process.env.SYSTEMROOT ?? '', ...config.env };
  const talk = await converse(config.command, config.args, { cwd: home, env });
  assert.equal(talk.server.name, 'async-query-mcp');
  assert.equal(talk.server.version, manifest.version);
  assert.deepEqual(talk.tools.toSorted(), manifest.tools.map((tool) => tool.name).toSorted());
  assert.equal(talk.answer.status, 'succeeded');
  assert.deepEqual(talk.end, { code: 0, signal: null });
} finally {
  rmSync(home, { recursive: true, force: true });
}
console.log(`bundle: ${manifest.name} ${manifest.version} starts, answers and ends`);
