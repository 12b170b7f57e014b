// An identity provider: oidc-provider in the shape that is asked for, on a free port of loopback.
//
//   node idp.mjs '{"shape": "okta", "audience": "api://doorward", "clients": [...], "trusts": [...]}'
//
// prints one line of JSON: {"issuer", "control"}. Below `control`, POST changes how it behaves:
// rotate (new signing key, the old one gone after `keep=0`), down, up; GET log tells what the
// token endpoint was asked. It ends with its standard input.
import { createServer } from 'node:http';
import { randomUUID } from 'node:crypto';
import { exportJWK, generateKeyPair } from 'jose';
import Provider from 'oidc-provider';
import { grants } from './grants.mjs';
import { people, shapes } from './shapes.mjs';
import { page } from './page.mjs';

// Its advice on production is not for standard output, which says where it listens.
console.info = console.warn = (...words) => process.stderr.write(asked.talk ? `${words.join(' ')}\n` : '');
const asked = JSON.parse(process.argv[2] ?? '{}');
const shape = shapes[asked.shape ?? 'plain'];
const state = { keys: [], down: false, log: [], provider: undefined, accounts: people(asked.people) };

async function key() {
  const { privateKey } = await generateKeyPair(shape.algorithm, { extractable: true });
  return { ...(await exportJWK(privateKey)), kid: randomUUID(), use: 'sig', alg: shape.algorithm };
}

const store = new Map();

/** What oidc-provider keeps; one for all its incarnations, so that grants outlive a rotation. */
class Memory {
  constructor(kind) { this.kind = kind; }
  name(id) { return `${this.kind}:${id}`; }
  async upsert(id, payload, seconds) {
    store.set(this.name(id), { payload, ends: seconds ? Date.now() + seconds * 1000 : Infinity });
    if (payload.uid) store.set(`uid:${payload.uid}`, { id, kind: this.kind });
  }
  async find(id) {
    const held = store.get(this.name(id));
    return held && held.ends > Date.now() ? held.payload : undefined;
  }
  async findByUid(uid) {
    const held = store.get(`uid:${uid}`);
    return held && this.find(held.id);
  }
  async findByUserCode() {}
  async destroy(id) { store.delete(this.name(id)); }
  async revokeByGrantId(grant) {
    for (const [name, held] of store) if (held.payload?.grantId === grant) store.delete(name);
  }
  async consume(id) {
    const held = store.get(this.name(id));
    if (held) held.payload.consumed = Math.floor(Date.now() / 1000);
  }
}

function incarnate(issuer) {
  const resource = async (ctx, indicator) => ({
    scope: shape.scopes.join(' '), audience: shape.audience?.(indicator) ?? indicator,
    accessTokenFormat: 'jwt', accessTokenTTL: asked.accessTokenSeconds ?? 600,
    jwt: { sign: { alg: shape.algorithm } },
  });
  const provider = new Provider(issuer, {
    adapter: Memory,
    clients: asked.clients ?? [],
    jwks: { keys: state.keys },
    cookies: { keys: ['a', 'b'] },
    clientAuthMethods: ['client_secret_basic', 'client_secret_post', 'private_key_jwt', 'none'],
    clientDefaults: { id_token_signed_response_alg: shape.algorithm },
    scopes: ['openid', 'offline_access', 'profile', 'email', ...shape.scopes],
    claims: { openid: ['sub', ...shape.idClaims], email: ['email', 'email_verified'] },
    conformIdTokenClaims: false,
    enabledJWA: { clientAuthSigningAlgValues: ['RS256', 'ES256', 'PS256', 'EdDSA', 'Ed25519'] },
    pkce: { required: () => true },
    issueRefreshToken: async () => true,
    rotateRefreshToken: true,
    findAccount: async (ctx, id) => state.accounts[id] && {
      accountId: id, claims: async () => ({ sub: id, ...shape.ofPerson(state.accounts[id], asked) }),
    },
    extraTokenClaims: (ctx, token) => shape.ofToken(token, state.accounts[token.accountId], asked),
    interactions: { url: (ctx, { uid }) => `${shape.path}/interaction/${uid}` },
    loadExistingGrant: async (ctx) => {
      const known = ctx.oidc.session.grantIdFor(ctx.oidc.client.clientId);
      const grant = known ? await ctx.oidc.provider.Grant.find(known) : new ctx.oidc.provider.Grant({
        clientId: ctx.oidc.client.clientId, accountId: ctx.oidc.session.accountId,
      });
      grant.addOIDCScope(`openid offline_access profile email ${shape.scopes.join(' ')}`);
      for (const indicator of [asked.audience, ...(asked.resources ?? [])]) {
        grant.addResourceScope(indicator, shape.scopes.join(' '));
      }
      await grant.save();
      return grant;
    },
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      dPoP: { enabled: true },
      introspection: { enabled: true },
      revocation: { enabled: true },
      rpInitiatedLogout: { enabled: true },
      resourceIndicators: {
        enabled: true, defaultResource: async () => asked.audience,
        useGrantedResource: async () => true, getResourceServerInfo: resource,
      },
    },
  });
  grants(provider, { asked, shape, state, issuer });
  return provider;
}

/** Who signs in says so on a page; `login_hint` says it beforehand. */
async function interaction(request, response) {
  const { uid, params, prompt } = await state.provider.interactionDetails(request, response);
  const form = new URLSearchParams(await text(request));
  const login = form.get('login') ?? params.login_hint;
  if (prompt.name === 'login' && !state.accounts[login]) {
    response.writeHead(200, { 'content-type': 'text/html' });
    return response.end(page(`${shape.path}/interaction/${uid}`, params.client_id));
  }
  const result = prompt.name === 'login' ? { login: { accountId: login } } : { consent: {} };
  return state.provider.interactionFinished(request, response, result, { mergeWithLastSubmission: true });
}

async function text(request) {
  const parts = [];
  for await (const part of request) parts.push(part);
  return Buffer.concat(parts).toString();
}

async function control(request, response, verb) {
  const query = new URLSearchParams(verb.split('?')[1]);
  switch (verb.split('?')[0]) {
    case 'rotate':
      state.keys = [await key(), ...(query.get('keep') === '0' ? [] : state.keys)];
      state.provider = incarnate(state.issuer);
      break;
    case 'down': state.down = true; break;
    case 'up': state.down = false; break;
    case 'log': break;
    default: response.writeHead(404); return response.end();
  }
  response.writeHead(200, { 'content-type': 'application/json' });
  return response.end(JSON.stringify(state.log));
}

const server = createServer(async (request, response) => {
  try {
    if (request.url.startsWith('/control/')) return await control(request, response, request.url.slice(9));
    if (state.down) { response.writeHead(503); return response.end(); }
    if (request.url.startsWith(`${shape.path}/interaction/`)) return await interaction(request, response);
    if (!request.url.startsWith(shape.path)) { response.writeHead(404); return response.end(); }
    request.originalUrl = request.url;
    request.url = request.url.slice(shape.path.length) || '/';
    return await state.provider.callback()(request, response);
  } catch (error) {
    process.stderr.write(`${error.stack}\n`);
    if (!response.headersSent) response.writeHead(500);
    return response.end();
  }
});

server.listen(asked.port ?? 0, '127.0.0.1', async () => {
  const origin = `http://127.0.0.1:${server.address().port}`;
  state.issuer = `${origin}${shape.path}`;
  state.keys = [await key()];
  state.provider = incarnate(state.issuer);
  process.stdout.write(`${JSON.stringify({ issuer: state.issuer, control: `${origin}/control` })}\n`);
});
process.stdin.resume();
process.stdin.on('end', () => process.exit(0));
