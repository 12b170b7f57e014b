// A server that wants the token of a user, with its own authorization server beside it. Whoever
// comes to its sign-in page is who the cookie `user` says. argv: the port. Ends with its input.
import { createHash, randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import { toNodeHandler } from '@modelcontextprotocol/node';
import { McpServer, createMcpHandler } from '@modelcontextprotocol/server';
import { z } from 'zod';

const [port] = process.argv.slice(2);
const base = `http://127.0.0.1:${port}`;
const codes = new Map();
const tokens = new Map();

const mcp = toNodeHandler(createMcpHandler(() => {
  const server = new McpServer({ name: 'guarded', version: '1.0.0' });
  const none = { inputSchema: z.object({}) };
  const who = async (_, { http }) => ({ content: [{ type: 'text', text: http.authInfo.extra.user }] });
  server.registerTool('whoami', { description: 'Tells whose token it was.', ...none }, who);
  server.registerTool('erase', { description: 'Takes the scope `write`.', ...none }, who);
  return server;
}));

const metadata = {
  issuer: base,
  authorization_endpoint: `${base}/authorize`,
  token_endpoint: `${base}/token`,
  registration_endpoint: `${base}/register`,
  response_types_supported: ['code'],
  grant_types_supported: ['authorization_code', 'refresh_token'],
  code_challenge_methods_supported: ['S256'],
  token_endpoint_auth_methods_supported: ['none'],
  authorization_response_iss_parameter_supported: true,
};

function authorize(request, url, respond) {
  const asked = Object.fromEntries(url.searchParams);
  const user = request.headers.cookie?.match(/(?:^|; )user=(\w+)/)?.[1];
  if (!user || asked.resource !== `${base}/mcp` || asked.code_challenge_method !== 'S256') return respond(400, {});
  const code = randomUUID();
  codes.set(code, { ...asked, user });
  const back = new URL(asked.redirect_uri);
  back.search = new URLSearchParams({ code, state: asked.state, iss: base });
  return respond(302, {}, { location: back.href });
}

function token(form, respond) {
  const asked = codes.get(form.code);
  codes.delete(form.code);
  const challenge = createHash('sha256').update(form.code_verifier ?? '').digest('base64url');
  const same = ['client_id', 'redirect_uri', 'resource'].every((name) => asked?.[name] === form[name]);
  if (!same || asked.code_challenge !== challenge) return respond(400, { error: 'invalid_grant' });
  const made = randomUUID();
  tokens.set(made, { user: asked.user, scopes: (asked.scope ?? '').split(' ') });
  return respond(200, { access_token: made, token_type: 'Bearer', expires_in: 3600, scope: asked.scope });
}

function protectedMcp(request, response, text, respond) {
  const shown = request.headers.authorization?.match(/^Bearer (.+)$/)?.[1];
  const known = tokens.get(shown);
  const where = `resource_metadata="${base}/.well-known/oauth-protected-resource/mcp"`;
  if (!known) return respond(401, {}, { 'www-authenticate': `Bearer ${where}, scope="read"` });
  const body = text ? JSON.parse(text) : undefined;
  if (body?.params?.name === 'erase' && !known.scopes.includes('write')) {
    const challenge = `Bearer error="insufficient_scope", scope="read write", ${where}`;
    return respond(403, {}, { 'www-authenticate': challenge });
  }
  request.auth = { token: shown, clientId: 'any', scopes: known.scopes, extra: { user: known.user } };
  return mcp(request, response, body);
}

createServer(async (request, response) => {
  const respond = (status, json, headers = {}) => {
    response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(json));
  };
  const url = new URL(request.url, base);
  let text = '';
  for await (const part of request) text += part;
  switch (url.pathname) {
    case '/.well-known/oauth-protected-resource/mcp':
      return respond(200, { resource: `${base}/mcp`, authorization_servers: [base] });
    case '/.well-known/oauth-authorization-server': return respond(200, metadata);
    case '/register': return respond(201, { ...JSON.parse(text), client_id: randomUUID() });
    case '/authorize': return authorize(request, url, respond);
    case '/token': return token(Object.fromEntries(new URLSearchParams(text)), respond);
    case '/mcp': return protectedMcp(request, response, text, respond);
    default: return respond(404, {});
  }
}).listen(Number(port), '127.0.0.1');
process.stdin.on('end', () => process.exit(0)).resume();
