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
const expanded = (userConfig) =>
  getMcpConfigForManifest({
    manifest,
    extensionPath: directory,
    systemDirs: {},
    userConfig,
    pathSeparator: sep,
    logger: console,
  });
const every = (value) => Object.fromEntries(Object.keys(manifest.user_config).map((key) => [key, value(key)]));

const untouched = await expanded({});
assert.ok(!JSON.stringify(untouched).includes('${'), `not everything is filled in: ${JSON.stringify(untouched)}`);
await start('untouched settings', untouched);
await start('cleared settings', await expanded(every(() => '')));
await start('settings that nobody filled in', await expanded(every((key) => `\${user_config.${key}}`)));
console.log(`bundle: ${manifest.name} ${manifest.version} starts, answers and ends`);

async function start(settings, config) {
  const home = mkdtempSync(join(tmpdir(), 'mcpb-check-'));
  try {
    const env = { HOME: home, LOCALAPPDATA: home, SYSTEMROOT: process.env.SYSTEMROOT ?? '', ...config.env };
    const talk = await converse(config.command, config.args, { cwd: home, env });
    assert.equal(talk.server.name, 'async-query-mcp', settings);
    assert.equal(talk.server.version, manifest.version, settings);
    assert.deepEqual(talk.tools.toSorted(), manifest.tools.map((tool) => tool.name).toSorted(), settings);
    assert.equal(talk.answer.status, 'succeeded', settings);
    assert.deepEqual(talk.end, { code: 0, signal: null }, settings);
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
}
