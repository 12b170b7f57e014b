// Runs a command line program of the clients' folder.
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const folder = fileURLToPath(new URL('..', import.meta.url));

export function run(program, argv, options) {
  return new Promise((resolve, reject) => {
    const child = spawn(folder + program, argv, { ...options, stdio: ['ignore', 'pipe', 'pipe'], timeout: 60_000 });
    let out = '';
    let told = '';
    child.stdout.on('data', (piece) => { out += piece; });
    child.stderr.on('data', (piece) => { told += piece; });
    child.on('error', reject);
    child.on('close', (code, signal) =>
      code === 0 ? resolve(out) : reject(new Error(`${program} ended with ${code ?? signal}:\n${out}\n${told}`)));
  });
}
