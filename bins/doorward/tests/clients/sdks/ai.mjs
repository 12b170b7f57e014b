// The AI SDK over one of its provider packages.
// argv: openai, openai-compatible, anthropic, google or gateway.
import { Output, embed, embedMany, generateText, isStepCount, jsonSchema, streamText, tool } from 'ai';
import {
  BASE, EMBED, KEY, MODEL, called, check, counted, deepEqual, distinct, embedded, equal, ok, refused,
  scenario, streamed,
} from './scenario.mjs';

const [kind] = process.argv.slice(2);
const provider = await {
  openai: async () => (await import('@ai-sdk/openai')).createOpenAI({ baseURL: `${BASE}/v1`, apiKey: KEY }),
  'openai-compatible': async () => (await import('@ai-sdk/openai-compatible')).createOpenAICompatible({
    name: 'doorward', baseURL: `${BASE}/v1`, apiKey: KEY, includeUsage: true, supportsStructuredOutputs: true,
  }),
  anthropic: async () => (await import('@ai-sdk/anthropic')).createAnthropic({ baseURL: `${BASE}/v1`, apiKey: KEY }),
  google: async () => (await import('@ai-sdk/google')).createGoogle({ baseURL: `${BASE}/v1beta`, apiKey: KEY }),
  gateway: async () => (await import('@ai-sdk/gateway')).createGateway({ baseURL: `${BASE}/v4/ai`, apiKey: KEY }),
}[kind]();

const call = (prompt, more = {}) => ({
  model: provider(MODEL), instructions: scenario.system, prompt, maxRetries: 0, maxOutputTokens: 256,
  onError: () => {}, ...more,
});
const usage = ({ inputTokens, outputTokens }) => counted(inputTokens, outputTokens);
const tools = Object.fromEntries(scenario.tools.offered.map(({ name, description, parameters }) => [
  name, tool({
    description, inputSchema: jsonSchema(parameters), execute: () => scenario.tools.results[name],
  }),
]));
const loop = { tools, stopWhen: isStepCount(4) };

function turned(steps) {
  equal(steps.length, 2);
  const [first, last] = steps;
  called(first.toolCalls.map(({ toolName, input }) => ({ name: toolName, arguments: input })));
  distinct(first.toolCalls.map((call) => call.toolCallId));
  equal(first.finishReason, 'tool-calls');
  usage(first.usage);
  equal(last.text, scenario.tools.answer);
  equal(last.finishReason, 'stop');
}

await check('text', async () => {
  const whole = await generateText(call(scenario.text.prompt));
  equal(whole.text, scenario.text.answer);
  equal(whole.finishReason, 'stop');
  usage(whole.usage);
});

await check('stream', async () => {
  const stream = streamText(call(scenario.text.prompt));
  const pieces = [];
  for await (const piece of stream.textStream) pieces.push(piece);
  streamed(pieces, scenario.text.answer);
  equal(await stream.finishReason, 'stop');
  usage(await stream.usage);
});

await check('tools', async () => turned((await generateText(call(scenario.tools.prompt, loop))).steps));

await check('stream-tools', async () => {
  const stream = streamText(call(scenario.tools.prompt, loop));
  await stream.consumeStream();
  turned(await stream.steps);
});

await check('structured', async () => {
  const { name, schema, prompt, answer } = scenario.structured;
  const output = Output.object({ name, schema: jsonSchema(schema) });
  deepEqual((await generateText(call(prompt, { output }))).output, answer);
  const stream = streamText(call(prompt, { output }));
  await stream.consumeStream();
  deepEqual(await stream.output, answer);
});

if (provider.embeddingModel && kind !== 'anthropic') {
  await check('embeddings', async () => {
    const model = provider.embeddingModel(EMBED);
    const { inputs, vectors } = scenario.embeddings;
    embedded((await embedMany({ model, values: inputs, maxRetries: 0 })).embeddings);
    // Google's has another route for one.
    deepEqual((await embed({ model, value: inputs[1], maxRetries: 0 })).embedding, vectors[1]);
  });
}

if (kind === 'gateway') {
  await check('models', async () => {
    const { models } = await provider.getAvailableModels();
    ok(models.some((model) => model.id === MODEL), JSON.stringify(models));
  });
}

await check('error', () => refused(() => generateText(call(scenario.error.prompt)), (error) => error.statusCode));

await check('stream-error', () => refused(async () => {
  let seen;
  const stream = streamText(call(scenario.error.prompt, { onError: ({ error }) => { seen = error; } }));
  await stream.consumeStream();
  throw seen;
}, (error) => error.statusCode));
