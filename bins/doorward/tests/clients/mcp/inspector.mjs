// The inspector's command line, once for each step. argv: legacy, auto or modern.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { headers, run, url } from './plan.mjs';

const [protocolEra] = process.argv.slice(2);
const program = fileURLToPath(new URL('../node_modules/@modelcontextprotocol/inspector/clients/launcher/build/index.js', import.meta.url));
const config = join(mkdtempSync(join(tmpdir(), 'inspector-')), 'mcp.json');
writeFileSync(config, JSON.stringify({ mcpServers: { gateway: { type: 'streamable-http', url, headers, protocolEra } } }));

function step(...args) {
  const all = [program, '--cli', '--config', config, '--server', 'gateway', '--format', 'json', ...args];
  const env = { ...process.env, MCP_INSPECTOR_SECRET_STORE: 'memory' };
  const { status, stdout, stderr } = spawnSync(process.execPath, all, { encoding: 'utf8', env });
  if (status !== 0) throw new Error(`ends with ${status}: ${(stderr || stdout).trim().split('\n').at(-1)}`);
  const out = JSON.parse(stdout);
  return out.result ?? out;
}

await run({
  tools: async () => step('--method', 'tools/list').tools.map(({ name }) => name),
  prompts: async () => step('--method', 'prompts/list').prompts.map(({ name }) => name),
  resources: async () => step('--method', 'resources/list').resources.map(({ uri }) => uri),
  call: async ({ name, arguments: given }) => {
    const pairs = Object.entries(given).flatMap(([key, value]) => ['--tool-arg', `${key}=${value}`]);
    return step('--method', 'tools/call', '--tool-name', name, ...pairs);
  },
});
