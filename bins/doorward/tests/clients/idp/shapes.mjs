// What tokens of Okta and Entra look like, after their documentation:
// https://developer.okta.com/docs/reference/api/oidc/#tokens-and-claims
// https://learn.microsoft.com/entra/identity-platform/access-token-claims-reference

/** Entra's tenant. */
export const TENANT = '7c1d2f10-65a5-4a5c-9d5d-0f6c1f6c2a11';

/** Who there is. */
export function people(more = {}) {
  return {
    'alice@corp.example': { name: 'Alice Ashe', groups: ['engineering', 'everyone'], roles: ['Agents.Use'], oid: 'a11ce000-0000-4000-8000-000000000001' },
    'bob@corp.example': { name: 'Bob Byrne', groups: ['sales', 'everyone'], roles: [], oid: 'b0b00000-0000-4000-8000-000000000002' },
    ...more,
  };
}

const plain = {
  path: '', algorithm: 'ES256', scopes: ['agents'],
  idClaims: ['email', 'email_verified', 'name', 'groups'],
  ofPerson: (person, asked, email) => ({ email, email_verified: true, name: person.name, groups: person.groups }),
  ofToken: (token, person) => (person ? { groups: person.groups, email: token.accountId } : {}),
};

const okta = {
  path: '/oauth2/default', algorithm: 'RS256', scopes: ['agents'],
  idClaims: ['email', 'preferred_username', 'name', 'groups', 'ver'],
  ofPerson: (person, asked, login) => ({
    ver: 1, email: login, preferred_username: login, name: person.name, groups: person.groups,
  }),
  ofToken: (token, person) => ({
    ver: 1, cid: token.clientId, scp: (token.scope ?? '').split(' ').filter(Boolean),
    ...(person && { uid: `00u${person.oid.slice(0, 8)}`, groups: person.groups }),
  }),
};

const entra = {
  path: `/${TENANT}/v2.0`, algorithm: 'RS256', scopes: ['agents'],
  idClaims: ['preferred_username', 'name', 'oid', 'tid', 'ver', 'groups', 'roles'],
  // The audience of a version 2 token is the application's id, whatever the resource was called.
  audience: (indicator) => indicator.replace(/^api:\/\//, ''),
  ofPerson: (person, asked, login) => ({
    ver: '2.0', tid: TENANT, oid: person.oid, preferred_username: login, name: person.name,
    roles: person.roles, ...groupsOf(person, asked),
  }),
  ofToken: (token, person, asked) => ({
    ver: '2.0', tid: TENANT, azp: token.clientId, azpacr: '1',
    ...(person
      ? { oid: person.oid, preferred_username: token.accountId, scp: token.scope, roles: person.roles, ...groupsOf(person, asked) }
      : { oid: token.clientId, idtyp: 'app', roles: ['Agents.Use'] }),
  }),
};

/** More groups than a token can say are left out, with a hint where they are. */
function groupsOf(person, asked) {
  if (!asked.overage) return { groups: person.groups };
  return {
    _claim_names: { groups: 'src1' },
    _claim_sources: { src1: { endpoint: `https://graph.microsoft.com/v1.0/users/${person.oid}/getMemberObjects` } },
  };
}

export const shapes = { plain, okta, entra };
