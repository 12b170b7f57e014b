// A server of the newer era only. argv: the port. Prints its URL, and ends with its input.
import { createServer } from 'node:http';
import { toNodeHandler } from '@modelcontextprotocol/node';
import { McpServer, createMcpHandler } from '@modelcontextprotocol/server';
import { z } from 'zod';

const [port] = process.argv.slice(2);
const handler = createMcpHandler(() => {
  const server = new McpServer({ name: 'modern', version: '1.0.0' });
  server.registerTool(
    'join',
    { description: 'Joins two words.', inputSchema: z.object({ first: z.string(), second: z.string() }) },
    async ({ first, second }) => ({ content: [{ type: 'text', text: `${first}-${second}` }] }),
  );
  return server;
}, { legacy: 'reject' });
createServer(toNodeHandler(handler)).listen(Number(port), '127.0.0.1', () => {
  console.log(JSON.stringify({ url: `http://127.0.0.1:${port}/mcp` }));
});
process.stdin.on('end', () => process.exit(0)).resume();
