// A server that wants the token of a user, with its own authorization server beside it. Whoever
// comes to its sign-in page is who the cookie `user` says. Beside it, at /idp, an identity provider
// that gives out ID tokens and vouches for those who have one. argv: the port. Ends with its input.
import { createHash, generateKeyPairSync, randomUUID, sign } from 'node:crypto';
import { createServer } from 'node:http';
import { toNodeHandler } from '@modelcontextprotocol/node';
import { McpServer, createMcpHandler } from '@modelcontextprotocol/server';
import { z } from 'zod';

const [port] = process.argv.slice(2);
const base = `http://127.0.0.1:${port}`;
const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const vouched = new Map();
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
  grant_types_supported: ['authorization_code', 'urn:ietf:params:oauth:grant-type:jwt-bearer'],
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

/** An ID token for whom it may concern. */
function idToken(user) {
  const now = Math.floor(Date.now() / 1000);
  const claims = { iss: `${base}/idp`, aud: 'gateway', sub: user, email: user, email_verified: true, iat: now, exp: now + 600 };
  const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const text = `${part({ alg: 'ES256', kid: 'k' })}.${part(claims)}`;
  const signature = sign('sha256', Buffer.from(text), { key: privateKey, dsaEncoding: 'ieee-p1363' });
  const made = `${text}.${signature.toString('base64url')}`;
  vouched.set(made, user);
  return made;
}

/** The identity provider's token exchange: an assertion for one authorization server and resource. */
function exchange(form, respond) {
  const user = vouched.get(form.subject_token);
  if (!user || form.audience !== base || form.resource !== `${base}/mcp`) return respond(400, { error: 'invalid_grant' });
  const assertion = randomUUID();
  vouched.set(assertion, user);
  const type = 'urn:ietf:params:oauth:token-type:id-jag';
  return respond(200, { access_token: assertion, issued_token_type: type, token_type: 'N_A' });
}

function token(form, respond) {
  if (form.grant_type === 'urn:ietf:params:oauth:grant-type:jwt-bearer') {
    const user = vouched.get(form.assertion);
    if (!user || form.client_id !== 'at-crm') return respond(400, { error: 'invalid_grant' });
    const made = randomUUID();
    tokens.set(made, { user, scopes: ['read', 'write'] });
    return respond(200, { access_token: made, token_type: 'Bearer', expires_in: 3600 });
  }
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
    case '/idp/jwks': return respond(200, { keys: [{ ...publicKey.export({ format: 'jwk' }), kid: 'k', alg: 'ES256' }] });
    case '/idp/mint': return respond(200, { token: idToken(url.searchParams.get('user')) });
    case '/idp/token': return exchange(Object.fromEntries(new URLSearchParams(text)), respond);
    case '/authorize': return authorize(request, url, respond);
    case '/token': return token(Object.fromEntries(new URLSearchParams(text)), respond);
    case '/mcp': return protectedMcp(request, response, text, respond);
    default: return respond(404, {});
  }
}).listen(Number(port), '127.0.0.1');
process.stdin.on('end', () => process.exit(0)).resume();
