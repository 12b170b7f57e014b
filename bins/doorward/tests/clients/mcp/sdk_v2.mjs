// The TypeScript SDK, second line. argv: legacy, auto, or a version to insist on; and remote for a
// way through mcp-remote.
import { fileURLToPath } from 'node:url';
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';
import { headers, run, url, whole } from './plan.mjs';

const [mode, way] = process.argv.slice(2);
const bridge = fileURLToPath(new URL('../node_modules/mcp-remote/dist/proxy.js', import.meta.url));
const transport = way === 'remote'
  ? new StdioClientTransport({
    command: process.execPath,
    args: [bridge, url, '--transport', 'http-only', '--header', `Authorization: ${headers.Authorization}`],
    env: { PATH: process.env.PATH, HOME: process.env.HOME },
  })
  : new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers } });
const client = new Client(
  { name: 'sdk-v2', version: '1.0.0' },
  { versionNegotiation: { mode: ['legacy', 'auto'].includes(mode) ? mode : { pin: mode } } },
);
await client.connect(transport);
await run({
  tools: () => whole((page) => client.listTools(page), 'tools', 'name'),
  prompts: () => whole((page) => client.listPrompts(page), 'prompts', 'name'),
  resources: () => whole((page) => client.listResources(page), 'resources', 'uri'),
  call: (params) => client.callTool(params),
});
await client.close();
process.exit(0);
