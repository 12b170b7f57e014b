// A user of the TypeScript SDK who is sent to a page for consent. argv: legacy, a version, or v1;
// then url for a client that can send its user to a page, none for one that only shows text.
// Environment: URL, KEY, AT (the authorization server's host), USER. Prints one line of JSON.
import { Browser, connect } from './browser.mjs';
import { headers, url } from './plan.mjs';

const [mode, able] = process.argv.slice(2);
const browser = new Browser();
browser.give(process.env.AT, 'user', process.env.USER);
const done = { visits: [] };

async function visit(how, link) {
  done.visits.push(how);
  await connect(link, process.env.KEY, browser);
}

const capabilities = able === 'url' ? { elicitation: { url: {} } } : {};
const elicit = async ({ params }) => {
  await visit('elicitation', params.url);
  return { action: 'accept' };
};

async function made() {
  if (mode === 'v1') {
    const { Client } = await import('@modelcontextprotocol/sdk/client/index.js');
    const { StreamableHTTPClientTransport } = await import('@modelcontextprotocol/sdk/client/streamableHttp.js');
    const client = new Client({ name: 'sdk-v1', version: '1.0.0' }, { capabilities });
    await client.connect(new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers } }));
    return client;
  }
  const { Client, StreamableHTTPClientTransport } = await import('@modelcontextprotocol/client');
  const versionNegotiation = { mode: mode === 'legacy' ? mode : { pin: mode } };
  const client = new Client({ name: 'sdk-v2', version: '1.0.0' }, { capabilities, versionNegotiation });
  if (able === 'url') client.setRequestHandler('elicitation/create', elicit);
  await client.connect(new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers } }));
  return client;
}

process.on('uncaughtException', (error) => {
  console.error(error, JSON.stringify(done));
  process.exit(1);
});
const client = await made();

/** A call, and once more where the answer was to go somewhere first. */
async function call(name) {
  const ask = () => client.callTool({ name, arguments: {} });
  let result;
  try {
    result = await ask();
  } catch (error) {
    if (error.code !== -32042) throw error;
    for (const { url: link } of error.elicitations) await visit('error', link);
    result = await ask();
  }
  const text = () => result.content[0].text;
  const link = result.isError && text().match(/https?:\S+\/connect\/[\w-]+/)?.[0];
  if (link) {
    await visit('text', link);
    result = await ask();
  }
  return text();
}

const names = async () => (await client.listTools()).tools.map(({ name }) => name).sort();
done.before = await names();
done.signed = await call('crm__doorward_sign_in');
done.after = await names();
done.who = await call('crm__whoami');
done.erased = await call('crm__erase');
done.again = await call('crm__whoami');
console.log(JSON.stringify(done));
await client.close();
process.exit(0);
