// Puts together the package of this platform and the one with the launcher, which asks for it in its very version.
// Usage: node stage.mjs BINARY DIRECTORY

import { execFileSync } from 'node:child_process';
import { chmodSync, copyFileSync, cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const [binary, directory] = process.argv.slice(2);
const here = import.meta.dirname;
const platform = `${process.platform}-${process.arch}`;
const program = process.platform === 'win32' ? 'async-query-mcp.exe' : 'async-query-mcp';
const version = execFileSync(binary, ['--version'], { encoding: 'utf8' }).trim().split(' ').pop();
const launcher = JSON.parse(readFileSync(join(here, 'package.json'), 'utf8'));

function place(name, fields) {
  const path = join(directory, name);
  mkdirSync(join(path, 'bin'), { recursive: true });
  writeFileSync(join(path, 'package.json'), `${JSON.stringify(fields, null, 2)}\n`);
  for (const licence of ['LICENSE-MIT', 'LICENSE-APACHE']) {
    copyFileSync(join(here, '..', '..', licence), join(path, licence));
  }
  return path;
}

const name = `${launcher.name}-${platform}`;
const native = place(name, {
  name,
  version,
  description: `The program of ${launcher.name} for ${platform}`,
  license: launcher.license,
  os: [process.platform],
  cpu: [process.arch],
  files: launcher.files,
});
copyFileSync(binary, join(native, 'bin', program));
chmodSync(join(native, 'bin', program), 0o755);

const main = place(launcher.name, { ...launcher, version, optionalDependencies: { [name]: version } });
cpSync(join(here, 'bin'), join(main, 'bin'), { recursive: true });
