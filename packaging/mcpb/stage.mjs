// Puts the binary, the licences and the manifest of this platform into a directory.
// Usage: node stage.mjs BINARY DIRECTORY

import { execFileSync } from 'node:child_process';
import { chmodSync, copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const [binary, directory] = process.argv.slice(2);
const here = import.meta.dirname;
const program = process.platform === 'win32' ? 'async-query-mcp.exe' : 'async-query-mcp';
const version = execFileSync(binary, ['--version'], { encoding: 'utf8' }).trim().split(' ').pop();

const manifest = JSON.parse(readFileSync(join(here, 'manifest.json'), 'utf8'));
manifest.version = version;
manifest.server.entry_point = `server/${program}`;
manifest.server.mcp_config.command = `\${__dirname}/server/${program}`;
manifest.compatibility.platforms = [process.platform];
writeFileSync(join(directory, 'manifest.json'), `${JSON.stringify(manifest, null, 2)}\n`);

copyFileSync(binary, join(directory, 'server', program));
chmodSync(join(directory, 'server', program), 0o755);
for (const licence of ['LICENSE-MIT', 'LICENSE-APACHE']) {
  copyFileSync(join(here, '..', '..', licence), join(directory, licence));
}
