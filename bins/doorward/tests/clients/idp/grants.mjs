// The grants that oidc-provider does not have: token exchange (RFC 8693) with identity assertions
// (ID-JAG), Entra's on-behalf-of, and redeeming an identity assertion (RFC 7523).
import { createLocalJWKSet, createRemoteJWKSet, decodeJwt, importJWK, jwtVerify, SignJWT } from 'jose';
import { randomUUID } from 'node:crypto';
import { errors } from 'oidc-provider';

const EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange';
const BEARER = 'urn:ietf:params:oauth:grant-type:jwt-bearer';
const TYPE = 'urn:ietf:params:oauth:token-type:';
const ID_JAG = `${TYPE}id-jag`;

export function grants(provider, { asked, shape, state, issuer }) {
  const seconds = asked.accessTokenSeconds ?? 600;

  async function sign(claims, typ) {
    const jwk = state.keys[0];
    const key = await importJWK(jwk, shape.algorithm);
    return new SignJWT({ jti: randomUUID(), ...claims })
      .setProtectedHeader({ alg: shape.algorithm, kid: jwk.kid, typ })
      .setIssuer(issuer).setIssuedAt().setExpirationTime(`${seconds}s`).sign(key);
  }

  async function own(token) {
    try {
      const set = createLocalJWKSet({ keys: state.keys.map(({ d, p, q, dp, dq, qi, ...open }) => open) });
      return (await jwtVerify(token, set, { issuer })).payload;
    } catch (error) { throw new errors.InvalidGrant(`the subject token is refused: ${error.message}`); }
  }

  /** Claims of a token for this person, made for somebody else. */
  const made = (subject, audience, scope, client) => {
    const token = { accountId: subject.sub, clientId: client, scope };
    return { ...shape.ofToken(token, state.accounts[subject.sub], asked), sub: subject.sub, aud: audience, client_id: client, scope };
  };

  const note = (ctx, params) => state.log.push({
    client: ctx.oidc.client.clientId, dpop: Boolean(ctx.get('dpop')), ...params,
  });

  provider.registerGrantType(EXCHANGE, async (ctx, next) => {
    const { params, client } = ctx.oidc;
    note(ctx, params);
    const subject = await own(params.subject_token);
    const target = params.audience ?? params.resource;
    if (!target) throw new errors.InvalidTarget('neither audience nor resource');
    if (params.requested_token_type === ID_JAG) {
      const assertion = await sign({
        sub: subject.sub, aud: params.audience, client_id: asked.known?.[params.audience] ?? client.clientId,
        resource: params.resource, scope: params.scope, email: subject.email,
      }, 'oauth-id-jag+jwt');
      ctx.body = { access_token: assertion, issued_token_type: ID_JAG, token_type: 'N_A', expires_in: seconds, scope: params.scope };
      return next();
    }
    const actor = { sub: client.clientId, ...(subject.act && { act: subject.act }) };
    const access = await sign({ ...made(subject, target, params.scope, client.clientId), act: actor }, 'at+jwt');
    ctx.body = { access_token: access, issued_token_type: `${TYPE}access_token`, token_type: 'Bearer', expires_in: seconds, scope: params.scope };
    return next();
  }, ['subject_token', 'subject_token_type', 'actor_token', 'actor_token_type', 'audience', 'resource', 'scope', 'requested_token_type'], ['audience', 'resource']);

  provider.registerGrantType(BEARER, async (ctx, next) => {
    const { params, client } = ctx.oidc;
    note(ctx, params);
    if (params.requested_token_use === 'on_behalf_of') {
      const subject = await own(params.assertion);
      // https://learn.microsoft.com/entra/identity-platform/v2-oauth2-on-behalf-of-flow
      const audience = String(params.scope ?? '').split(' ')[0].replace(/\/[^/]*$/, '');
      if (!audience) throw new errors.InvalidScope('AADSTS70011: the scope is not valid', params.scope);
      if (subject.aud !== client.clientId && subject.aud !== shape.audience?.(asked.audience)) {
        throw new errors.InvalidGrant('AADSTS50013: the assertion is for another audience');
      }
      const access = await sign({ ...made(subject, audience, 'user_impersonation', client.clientId), scp: 'user_impersonation' }, 'JWT');
      ctx.body = { token_type: 'Bearer', scope: params.scope, expires_in: seconds, ext_expires_in: seconds, access_token: access };
      return next();
    }
    const { payload } = await trusted(params.assertion);
    if (payload.client_id !== client.clientId) throw new errors.InvalidGrant('the assertion is for another client');
    const access = await sign(made({ sub: payload.sub }, payload.resource ?? asked.audience, payload.scope, client.clientId), 'at+jwt');
    ctx.body = { token_type: 'Bearer', expires_in: seconds, scope: payload.scope, access_token: access };
    return next();
  }, ['assertion', 'requested_token_use', 'scope', 'resource'], ['resource']);

  /** An identity assertion of a provider that this one trusts, for this one. */
  async function trusted(assertion) {
    try {
      const from = (asked.trusts ?? []).find(({ issuer: known }) => known === decodeJwt(assertion).iss);
      if (!from) throw new Error('of nobody we trust');
      const keys = createRemoteJWKSet(new URL(from.jwks));
      return await jwtVerify(assertion, keys, { issuer: from.issuer, audience: issuer, typ: 'oauth-id-jag+jwt' });
    } catch (error) { throw new errors.InvalidGrant(`the assertion is refused: ${error.message}`); }
  }
}
