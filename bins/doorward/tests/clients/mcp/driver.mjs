// The client that the conformance suite's client mode drives: the gateway with the suite's server
// behind it, and a client before it which lists and calls all there is. The last argument is the
// server's URL; the suite tells the rest by MCP_CONFORMANCE_*, the test by DOORWARD (the binary).
import { spawn, execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { Client } from './wire.mjs';
import { connect } from './browser.mjs';

const url = process.argv.at(-1);
const scenario = process.env.MCP_CONFORMANCE_SCENARIO ?? 'tools_call';
const version = process.env.MCP_CONFORMANCE_PROTOCOL_VERSION ?? '2025-11-25';
const context = JSON.parse(process.env.MCP_CONFORMANCE_CONTEXT ?? '{}');
const doorward = process.env.DOORWARD;
const folder = mkdtempSync(join(tmpdir(), 'doorward-driver-'));

// ---- the gateway

/** A secret of the scenario's, as a configuration takes one. */
function secret(name, text) {
  const file = join(folder, name);
  writeFileSync(file, text);
  return `${name} = { file = "${file}" }`;
}

/** The authorization server that the scenario's server names, as an operator looks it up. */
async function issuer() {
  const at = new URL(url);
  const metadata = await fetch(`${at.origin}/.well-known/oauth-protected-resource${at.pathname}`);
  return (await metadata.json()).authorization_servers[0];
}

/** What the scenario's server needs beside its URL, in its [[server]] section. */
async function serverSettings() {
  if (!scenario.startsWith('auth/')) return '';
  const keys = ['allow_private = true'];
  if (context.client_id) {
    keys.push(`client_id = "${context.client_id}"`, `issuer = "${context.issuer ?? await issuer()}"`);
  }
  if (scenario === 'auth/pre-registration') keys.push('grant = "consent"');
  if (context.valid_jwt) keys.push(secret('assertion', context.valid_jwt));
  if (context.client_secret) keys.push(secret('client_secret', context.client_secret));
  if (context.private_key_pem) keys.push(secret('private_key', context.private_key_pem));
  return `oauth = { ${keys.join(', ')} }\n\n[connect]\nclient_metadata = "https://conformance-test.local/client-metadata.json"\n`;
}

const config = join(folder, 'doorward.toml');
writeFileSync(config, `[listen]
data = "127.0.0.1:0"
admin = "127.0.0.1:0"

[storage]
url = "sqlite://${join(folder, 'data/doorward.db')}"

[[server]]
name = "upstream"
url = "${url}"
prefix = false
${await serverSettings()}
[[contract]]
tool = "*"
effect = "read"
result = { integrity = "trusted" }
`);

const key = execFileSync(doorward, ['keys', 'create', '--name', 'driver', '--config', config], { encoding: 'utf8' }).trim();
const gateway = spawn(doorward, ['serve', '--config', config], {
  cwd: folder,
  env: { PATH: process.env.PATH, DOORWARD_LOG: 'debug' },
  stdio: ['ignore', 'ignore', 'pipe'],
});
let log = '';
const base = await new Promise((resolve, reject) => {
  createInterface({ input: gateway.stderr }).on('line', (line) => {
    log += `${line}\n`;
    const found = line.match(/^doorward: listening on (\S+), admin on/);
    if (found) resolve(found[1]);
  });
  gateway.on('exit', (code) => reject(new Error(`the gateway ended with ${code}:\n${log}`)));
});

// ---- the client's user

/** Accepts a form with its defaults, as a client of SEP-1034 does; opens a page where it is told to. */
async function answer({ method, params }) {
  if (method === 'sampling/createMessage') {
    return { role: 'assistant', content: { type: 'text', text: 'A word.' }, model: 'none', stopReason: 'endTurn' };
  }
  if (method === 'roots/list') return { roots: [{ uri: 'file:///work', name: 'work' }] };
  if (params.mode === 'url') {
    await connect(params.url, key);
    return { action: 'accept' };
  }
  const fields = Object.entries(params.requestedSchema?.properties ?? {});
  const content = {};
  for (const [name, field] of fields) {
    if (field.default !== undefined) content[name] = field.default;
    else if (params.requestedSchema.required?.includes(name) || field.type === 'boolean') content[name] = sample(field);
  }
  return { action: 'accept', content };
}

/** An argument that a schema allows. */
function sample(schema) {
  if (schema?.default !== undefined) return schema.default;
  if (schema?.enum) return schema.enum[0];
  switch (schema?.type) {
    case 'integer': return 5;
    case 'number': return 5;
    case 'boolean': return true;
    case 'object': return {};
    case 'array': return [];
    case 'null': return null;
    default: return 'a word';
  }
}

const samples = (schema) => Object.fromEntries(
  Object.entries(schema?.properties ?? {}).map(([name, value]) => [name, sample(value)]),
);

// ---- the work

/** The gateway's own tool, where its server wants the user's consent first. */
const SIGN_IN = 'doorward_sign_in';

/** A call; once more where the answer is a link, as older revisions tell that the user is to go there. */
async function call(client, params) {
  const result = await client.request('tools/call', params);
  const link = result.isError && result.content?.[0]?.text?.match(/https?:\S+\/connect\/[\w-]+/)?.[0];
  if (!link) return result;
  await connect(link, key);
  return client.request('tools/call', params);
}

/** Lists and calls everything, each once. What fails is told, and the rest goes on. */
async function everything(client) {
  const failures = [];
  const attempt = async (what, work) => {
    try {
      return await work();
    } catch (error) {
      failures.push(`${what}: ${error.message}`);
      return undefined;
    }
  };
  let { tools = [] } = (await attempt('tools/list', () => client.list('tools/list'))) ?? {};
  if (tools.some(({ name }) => name === SIGN_IN)) {
    await attempt(SIGN_IN, () => call(client, { name: SIGN_IN, arguments: {} }));
    ({ tools = [] } = (await attempt('tools/list', () => client.list('tools/list'))) ?? {});
    tools = tools.filter(({ name }) => name !== SIGN_IN);
  }
  const calls = context.toolCalls ?? tools.map((tool) => ({ name: tool.name, arguments: samples(tool.inputSchema) }));
  const focal = tools.find(({ name }) => name === 'json_schema_2020_12_tool');
  for (const params of calls) {
    if (params.name === 'json_schema_echo' && focal) params.arguments = { schema: focal.inputSchema };
  }
  // All at once: what belongs to one call must not get into another.
  await Promise.all(calls.map((params) => attempt(params.name, () => call(client, params))));
  // Some scenarios want a second look, with a wider scope or after a change of servers.
  if (scenario.startsWith('auth/')) await attempt('tools/list', () => client.list('tools/list'));
  const { resources = [] } = (await attempt('resources/list', () => client.list('resources/list'))) ?? {};
  for (const { uri } of resources) await attempt(uri, () => client.request('resources/read', { uri }));
  const { prompts = [] } = (await attempt('prompts/list', () => client.list('prompts/list'))) ?? {};
  for (const { name } of prompts) await attempt(name, () => client.request('prompts/get', { name }));
  return { tools: tools.length, resources: resources.length, prompts: prompts.length, failures };
}

let code = 0;
try {
  const client = new Client(`${base}/mcp/upstream`, { authorization: `Bearer ${key}` }, version, answer);
  await client.begin();
  // The gateway gets to know its servers in its own time.
  for (let tries = 0; tries < 20 && !(await client.reachable()); tries += 1) {
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  const done = await everything(client);
  console.log(JSON.stringify({ scenario, version, ...done }));
  await client.end();
} catch (error) {
  console.error(`${error.stack}\n${log}`);
  code = 1;
} finally {
  gateway.removeAllListeners('exit');
  gateway.kill('SIGTERM');
  if (process.env.DRIVER_LOG) writeFileSync(process.env.DRIVER_LOG, log);
  await new Promise((resolve) => { gateway.on('exit', resolve); setTimeout(resolve, 3000).unref(); });
  rmSync(folder, { recursive: true, force: true });
}
process.exit(code);
