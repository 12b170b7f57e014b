// Every provider at once on one port: aimock, an independent fake, with the scenario's answers.
// argv: port (0 for a free one). Prints {"url": …} when it listens.
//
// What aimock 1.43 has otherwise than the vendors, or not at all, is put right in front of it here,
// and only that: token counts for Ollama and embeddings, one vector per input, the error bodies of
// Bedrock, Cohere and Ollama, Gemini's finish reason of calls, its `v1` path, schemas in
// `parametersJsonSchema` and `batchEmbedContents`, counting of tokens, embeddings on Bedrock (Titan)
// and Vertex, Claude's streams on Bedrock, Claude on Vertex, and the AI SDK's gateway protocol.
import { AsyncLocalStorage } from 'node:async_hooks';
import { Readable } from 'node:stream';
import { LLMock } from '@copilotkit/aimock';
import { invokeStream } from './bedrock_invoke.mjs';
import { gateway } from './gateway_protocol.mjs';
import { scenario } from '../sdks/scenario.mjs';

const { system, usage: counts, text, tools, structured, custom, embeddings, error, agent } = scenario;
const usage = { prompt_tokens: counts.input, completion_tokens: counts.output };
const arrived = new AsyncLocalStorage();

const said = (message) => [message.content].flat().map((part) => part?.text ?? part ?? '').join('');
const asks = (prompt) => (request) =>
  request.messages?.some((message) => message.role === 'user' && said(message).includes(prompt));
const results = (request) => request.messages.filter((m) => m.role === 'tool').map(said).join('\n');
const refuse = (message) => ({
  error: { message, type: 'invalid_request_error', code: 'fake_refused' }, status: 400,
});

/** The tool calls, once their results are back the answer; anything else is refused. The tools must
 * be offered both times. */
function turn({ calls, shown, answer }) {
  return (request) => {
    const told = results(request);
    const chosen = calls(request);
    if (told === '') return { toolCalls: chosen, usage };
    const missing = shown.filter((result) => !told.includes(result));
    if (missing.length > 0) return refuse(`results missing: ${missing.join(', ')} in: ${told}`);
    return { content: answer, usage };
  };
}

function weather(request) {
  const names = (request.tools ?? []).map((tool) => tool.function.name);
  const wanted = tools.offered.map((tool) => tool.name);
  if (!wanted.every((name) => names.includes(name))) throw new Error(`tools offered: ${names}`);
  return tools.calls.map(({ name, arguments: given }) => ({ name, arguments: JSON.stringify(given) }));
}

/** A free-form tool reaches other dialects as a function with one text argument. */
function patch(request) {
  const tool = request.tools?.find((tool) => tool.function.name === custom.name);
  if (!tool) throw new Error('the free-form tool is not offered');
  const [argument] = Object.keys(tool.function.parameters?.properties ?? {});
  return [{ name: custom.name, arguments: JSON.stringify({ [argument]: custom.input }) }];
}

/** The agents' own shell, under the name each gives it. */
function shell(request) {
  const offered = (request.tools ?? []).map((tool) => tool.function);
  const found = offered.find((tool) => /^(Bash|shell_command|exec_command|shell)$/.test(tool.name));
  if (!found) throw new Error(`no shell among: ${offered.map((tool) => tool.name)}`);
  const properties = found.parameters?.properties ?? {};
  const command = properties.command?.type === 'array' ? ['bash', '-lc', agent.command] : agent.command;
  const name = 'cmd' in properties ? 'cmd' : 'command';
  const more = 'description' in properties ? { description: 'Runs the probe' } : {};
  return [{ name: found.name, arguments: JSON.stringify({ [name]: command, ...more }) }];
}

/** Where a provider has no JSON schema of its own, it arrives as the one tool to be called. */
function report(request) {
  // Bedrock wants the schema as a text, with its quotes escaped.
  const raw = (arrived.getStore() ?? '').replaceAll('\\"', '"');
  if (!raw.includes('"degrees"')) return refuse('the schema did not arrive');
  const answer = JSON.stringify(structured.answer);
  const [tool] = request.tools ?? [];
  if (!tool) return { content: answer, usage };
  if (results(request) !== '') return { content: 'done', usage };
  return { toolCalls: [{ name: tool.function.name, arguments: answer }], usage };
}

/** A system prompt that got lost would else not be seen. */
const briefly = (answer) => (request) =>
  (arrived.getStore() ?? '').includes(system) ? answer(request) : refuse('the system prompt is lost');

const mock = new LLMock({ port: Number(process.argv[2] ?? 0), chunkSize: 11, logLevel: 'silent' });
const on = (prompt, response) => mock.addFixture({ match: { predicate: asks(prompt) }, response });
on(text.prompt, briefly(() => ({ content: text.answer, usage })));
on(tools.prompt, briefly(turn({
  calls: weather, shown: Object.values(tools.results), answer: tools.answer,
})));
on(structured.prompt, report);
on(custom.prompt, turn({ calls: patch, shown: [custom.result], answer: custom.answer }));
on(agent.prompt, turn({ calls: shell, shown: [agent.shows], answer: agent.answer }));
on(error.prompt, () => refuse(error.message));
embeddings.inputs.forEach((input, n) => {
  mock.addFixture({ match: { inputText: input }, response: { embedding: embeddings.vectors[n] } });
});
// What agents ask beside the turn: titles, summaries, whether a command is safe.
const other = (request) => request._endpointType !== 'embedding';
mock.addFixture({ match: { predicate: other }, response: { content: 'ok', usage } });

await mock.start();
const { server } = mock.serverInstance;
const [handle] = server.listeners('request');
server.removeAllListeners('request');
server.on('request', async (request, response) => {
  const pieces = [];
  for await (const piece of request) pieces.push(piece);
  await serve(request, Buffer.concat(pieces).toString(), response).catch((cause) => {
    response.writeHead(500).end(`the fake failed: ${cause.stack}`);
  });
});

const json = (response, body) => {
  response.writeHead(200, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
};
/** Asks aimock itself, past what is put right here. */
const ask = async (path, body) => {
  const headers = { 'x-past': 'yes' };
  return (await fetch(mock.url + path, { method: 'POST', headers, body: JSON.stringify(body) })).json();
};

async function serve(request, body, response) {
  const path = new URL(request.url, mock.url).pathname;
  const beside = BESIDE.find(([, pattern]) => pattern.test(decodeURIComponent(path)));
  if (beside) return json(response, beside[2](JSON.parse(body)));
  if (path.startsWith('/v4/ai/')) return gateway(path, request.headers, JSON.parse(body), response, mock.url);
  const invoked = decodeURIComponent(path).match(/^\/model\/([^/]+)\/invoke-with-response-stream$/);
  if (invoked) return invokeStream(invoked[1], body, response, mock.url);
  const past = request.headers['x-past'] === 'yes';
  if (!past && /\/(embeddings|embed)$/.test(path)) return json(response, await embed(path, JSON.parse(body)));
  let url = request.url.replace(/^\/v1\/models\/([^/]+:)/, '/v1beta/models/$1');
  const claude = path.match(/\/publishers\/anthropic\/models\/([^/:]+):(rawPredict|streamRawPredict)$/);
  if (claude) {
    url = '/v1/messages';
    body = JSON.stringify({ ...JSON.parse(body), model: claude[1] });
  }
  // aimock reads Gemini's older word for a schema only.
  if (path.includes('enerateContent')) body = body.replaceAll('"parametersJsonSchema":', '"parameters":');
  correct(path, response);
  const again = Object.assign(Readable.from([Buffer.from(body)]), {
    method: request.method, url, headers: request.headers, rawHeaders: request.rawHeaders,
    socket: request.socket, httpVersion: request.httpVersion,
  });
  arrived.run(body, () => handle(again, response));
}

const vector = (text) => embeddings.vectors[embeddings.inputs.indexOf(text)];

/** What aimock does not serve at all. */
const BESIDE = [
  ['Anthropic', /^\/v1\/messages\/count_tokens$/, () => ({ input_tokens: counts.input })],
  ['Claude on Vertex', /\/models\/count-tokens:rawPredict$/, () => ({ input_tokens: counts.input })],
  ['Gemini', /:countTokens$/, () => ({ totalTokens: counts.input })],
  ['Bedrock', /\/count-tokens$/, () => ({ inputTokens: counts.input })],
  ['Gemini', /:batchEmbedContents$/, ({ requests }) => ({
    embeddings: requests.map(({ content }) => ({ values: vector(content.parts[0].text) })),
  })],
  ['Vertex', /:predict$/, ({ instances }) => ({
    predictions: instances.map(({ content }) => ({
      embeddings: { values: vector(content), statistics: { token_count: 3, truncated: false } },
    })),
  })],
  ['Bedrock', /^\/model\/amazon\.titan-embed[^/]*\/invoke$/, ({ inputText }) => ({
    embedding: vector(inputText), inputTextTokenCount: 3,
  })],
];

/** Embeddings in the wire of the path; aimock itself gives all inputs of a request one vector. */
async function embed(path, asked) {
  const texts = [asked.input ?? asked.texts].flat();
  const name = asked.texts ? 'texts' : 'input';
  const one = (text) => ask(path, { ...asked, encoding_format: 'float', [name]: asked.texts ? [text] : text });
  const all = await Promise.all(texts.map(one));
  if (path.endsWith('/v2/embed')) {
    const float = all.flatMap((answer) => answer.embeddings.float);
    return { ...all[0], texts, embeddings: { float }, meta: { billed_units: { input_tokens: embeddings.usage } } };
  }
  if (path.startsWith('/api/')) {
    const vectors = all.map((answer) => answer.embedding);
    return { model: asked.model, embeddings: vectors, prompt_eval_count: embeddings.usage };
  }
  const encoded = asked.encoding_format === 'base64' ? base64 : (vector) => vector;
  const data = all.map(({ data: [item] }, index) => ({ ...item, index, embedding: encoded(item.embedding) }));
  return { ...all[0], data, usage: { prompt_tokens: embeddings.usage, total_tokens: embeddings.usage } };
}

const base64 = (vector) => Buffer.from(Float32Array.from(vector).buffer).toString('base64');

const ERRORS = [
  ['/model/', (message) => ({ message })],
  ['/v2/', (message) => ({ message })],
  ['/api/', (message) => ({ error: message })],
];

/** Edits what aimock writes where it is none of the vendor's; frames in binary are left alone. */
function correct(path, response) {
  const [, failure] = ERRORS.find(([start]) => path.startsWith(start)) ?? [];
  const edit = (piece) => {
    if (typeof piece !== 'string') return piece;
    if (failure && response.statusCode >= 400) return JSON.stringify(failure(JSON.parse(piece).error.message));
    if (path.startsWith('/api/')) {
      return piece.replace('"prompt_eval_count":0', `"prompt_eval_count":${counts.input}`)
        .replace('"eval_count":0', `"eval_count":${counts.output}`);
    }
    // Gemini says STOP when it calls.
    return path.includes('enerateContent') ? piece.replace('"FUNCTION_CALL"', '"STOP"') : piece;
  };
  const { write, writeHead, end } = response;
  response.writeHead = (status, headers) => {
    const kind = path.startsWith('/model/') && status >= 400 ? { 'x-amzn-errortype': 'ValidationException' } : {};
    return writeHead.call(response, status, { ...headers, ...kind });
  };
  response.write = (piece, ...rest) => write.call(response, edit(piece), ...rest);
  response.end = (piece, ...rest) => end.call(response, edit(piece), ...rest);
}

console.log(JSON.stringify({ url: mock.url }));
// It serves until the one that started it goes.
process.stdin.resume().on('end', () => process.exit());
