// Gets tokens of an identity provider as a client does, and prints the answer as JSON.
//
//   node tokens.mjs '{"issuer", "client": {"id", "secret" | "key"}, "grant": "code" | "client" |
//     "refresh", "login", "refresh_token", "scope", "resource", "dpop": {...}}'
//
// With `dpop` the tokens are bound to that key, and a proof for `dpop.for` (method and URL) is
// printed beside them.
import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { calculateJwkThumbprint, exportJWK, generateKeyPair, importJWK, SignJWT } from 'jose';

const asked = JSON.parse(process.argv[2]);
const metadata = await (await fetch(`${asked.issuer}/.well-known/openid-configuration`)).json();
const dpop = asked.dpop && { ...(await generateKeyPair('ES256', { extractable: true })), ...asked.dpop };

async function proof(method, url, token) {
  const jwk = await exportJWK(dpop.publicKey);
  const claims = { htm: method, htu: url, jti: randomUUID(), ...(token && { ath: createHash('sha256').update(token).digest('base64url') }) };
  return new SignJWT(claims).setProtectedHeader({ alg: 'ES256', typ: 'dpop+jwt', jwk }).setIssuedAt().sign(dpop.privateKey);
}

/** The client's authentication: its secret, or an assertion by its key. */
async function authenticated(form) {
  const { id, secret, key } = asked.client;
  if (secret) return { form, headers: { authorization: `Basic ${Buffer.from(`${id}:${secret}`).toString('base64')}` } };
  if (!key) return { form: { ...form, client_id: id }, headers: {} };
  const assertion = await new SignJWT({ jti: randomUUID() }).setProtectedHeader({ alg: key.alg, kid: key.kid })
    .setIssuer(id).setSubject(id).setAudience(asked.issuer).setIssuedAt().setExpirationTime('1m')
    .sign(await importJWK(key, key.alg));
  return { headers: {}, form: {
    ...form, client_id: id, client_assertion: assertion,
    client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
  } };
}

async function token(fields) {
  const { form, headers } = await authenticated(fields);
  if (dpop) headers.dpop = await proof('POST', metadata.token_endpoint);
  const answer = await fetch(metadata.token_endpoint, { method: 'POST', headers, body: new URLSearchParams(form) });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`${answer.status} ${text}`);
  return JSON.parse(text);
}

/** Walks the redirects with the cookies of each host until one leads to the client. */
async function code() {
  const verifier = randomBytes(32).toString('base64url');
  const redirect = asked.redirect ?? 'http://127.0.0.1:9/callback';
  const query = new URLSearchParams({
    response_type: 'code', client_id: asked.client.id, redirect_uri: redirect, state: 's', nonce: 'n',
    scope: asked.scope ?? 'openid offline_access email agents', prompt: 'login',
    code_challenge: createHash('sha256').update(verifier).digest('base64url'), code_challenge_method: 'S256',
    login_hint: asked.login, ...(asked.resource && { resource: asked.resource }),
  });
  const cookies = new Map();
  let url = new URL(`${metadata.authorization_endpoint}?${query}`);
  for (let hop = 0; hop < 12; hop += 1) {
    const cookie = [...cookies].map(([name, value]) => `${name}=${value}`).join('; ');
    const answer = await fetch(url, { redirect: 'manual', headers: { cookie } });
    for (const line of answer.headers.getSetCookie()) {
      const [, name, value] = /^([^=]+)=([^;]*)/.exec(line);
      if (value) cookies.set(name, value); else cookies.delete(name);
    }
    const place = answer.headers.get('location');
    if (!place) throw new Error(`no redirect: ${answer.status} ${await answer.text()}`);
    url = new URL(place, url);
    if (url.href.startsWith(redirect)) break;
  }
  if (!url.searchParams.get('code')) throw new Error(`no code: ${url}`);
  return { grant_type: 'authorization_code', code: url.searchParams.get('code'), redirect_uri: redirect, code_verifier: verifier };
}

const fields = {
  code, client: () => ({ grant_type: 'client_credentials', scope: asked.scope ?? 'agents', ...(asked.resource && { resource: asked.resource }) }),
  refresh: () => ({ grant_type: 'refresh_token', refresh_token: asked.refresh_token }),
}[asked.grant];
const answer = await token(await fields());
if (dpop) {
  const { method, url } = dpop.for;
  answer.proof = await proof(method, url, answer.access_token);
  answer.thumbprint = await calculateJwkThumbprint(await exportJWK(dpop.publicKey));
}
process.stdout.write(`${JSON.stringify(answer)}\n`);
