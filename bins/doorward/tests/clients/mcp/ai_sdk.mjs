// The AI SDK's client.
import { createMCPClient } from '@ai-sdk/mcp';
import { headers, run, url } from './plan.mjs';

const client = await createMCPClient({ transport: { type: 'http', url, headers } });
const tools = await client.tools();
await run({
  tools: async () => Object.keys(tools),
  call: async ({ name, arguments: given }) => tools[name].execute(given, { toolCallId: name, messages: [] }),
});
await client.close();
process.exit(0);
