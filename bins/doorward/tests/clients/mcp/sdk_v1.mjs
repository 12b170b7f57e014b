// The TypeScript SDK, first line. argv: http, or remote for a way through mcp-remote.
import { fileURLToPath } from 'node:url';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { headers, run, url, whole } from './plan.mjs';

const [way] = process.argv.slice(2);
const bridge = fileURLToPath(new URL('../node_modules/mcp-remote/dist/proxy.js', import.meta.url));
const transport = way === 'remote'
  ? new StdioClientTransport({
    command: process.execPath,
    args: [bridge, url, '--transport', 'http-only', '--header', `Authorization: ${headers.Authorization}`],
    env: { PATH: process.env.PATH, HOME: process.env.HOME },
    stderr: 'inherit',
  })
  : new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers } });
const client = new Client({ name: 'sdk-v1', version: '1.0.0' }, { capabilities: {} });
await client.connect(transport);
await run({
  tools: () => whole((page) => client.listTools(page), 'tools', 'name'),
  prompts: () => whole((page) => client.listPrompts(page), 'prompts', 'name'),
  resources: () => whole((page) => client.listResources(page), 'resources', 'uri'),
  call: (params) => client.callTool(params),
});
await client.close();
process.exit(0);
