// npm openai, Chat Completions and embeddings.
import OpenAI from 'openai';
import {
  BASE, EMBED, KEY, MODEL, called, check, counted, deepEqual, distinct, embedded, equal, ok, refused,
  scenario, streamed,
} from './scenario.mjs';

const client = new OpenAI({ baseURL: `${BASE}/v1`, apiKey: KEY, maxRetries: 0 });
const messages = (prompt) => [
  { role: 'system', content: scenario.system },
  { role: 'user', content: prompt },
];
const usage = ({ prompt_tokens, completion_tokens, total_tokens }) => {
  counted(prompt_tokens, completion_tokens);
  equal(total_tokens, prompt_tokens + completion_tokens);
};
const functions = scenario.tools.offered.map((tool) => ({ type: 'function', function: tool }));
const answers = (calls) => calls.map((call) => ({
  role: 'tool', tool_call_id: call.id, content: scenario.tools.results[call.function.name],
}));

await check('text', async () => {
  const whole = await client.chat.completions.create({
    model: MODEL, messages: messages(scenario.text.prompt),
  });
  equal(whole.choices[0].message.content, scenario.text.answer);
  equal(whole.choices[0].finish_reason, 'stop');
  usage(whole.usage);
});

await check('stream', async () => {
  const pieces = [];
  let finish, counts;
  for await (const chunk of await client.chat.completions.create({
    model: MODEL, messages: messages(scenario.text.prompt),
    stream: true, stream_options: { include_usage: true },
  })) {
    counts = chunk.usage ?? counts;
    const [choice] = chunk.choices;
    if (choice?.delta.content) pieces.push(choice.delta.content);
    finish = choice?.finish_reason ?? finish;
  }
  streamed(pieces, scenario.text.answer);
  equal(finish, 'stop');
  usage(counts);
});

await check('no-usage-unasked', async () => {
  for await (const chunk of await client.chat.completions.create({
    model: MODEL, messages: messages(scenario.text.prompt), stream: true,
  })) {
    equal(chunk.usage ?? null, null);
    equal(chunk.choices.length, 1);
  }
});

await check('tools', async () => {
  const asked = messages(scenario.tools.prompt);
  const first = await client.chat.completions.create({ model: MODEL, messages: asked, tools: functions });
  const [{ message, finish_reason }] = first.choices;
  equal(finish_reason, 'tool_calls');
  called(message.tool_calls.map((call) => call.function));
  distinct(message.tool_calls.map((call) => call.id));
  usage(first.usage);
  const last = await client.chat.completions.create({
    model: MODEL, messages: [...asked, message, ...answers(message.tool_calls)], tools: functions,
  });
  equal(last.choices[0].message.content, scenario.tools.answer);
  equal(last.choices[0].finish_reason, 'stop');
});

await check('stream-tools', async () => {
  const asked = messages(scenario.tools.prompt);
  const stream = client.chat.completions.stream({
    model: MODEL, messages: asked, tools: functions, stream_options: { include_usage: true },
  });
  const { choices: [{ message, finish_reason }], usage: counts } = await stream.finalChatCompletion();
  equal(finish_reason, 'tool_calls');
  called(message.tool_calls.map((call) => call.function));
  distinct(message.tool_calls.map((call) => call.id));
  usage(counts);
  const last = client.chat.completions.stream({
    model: MODEL, messages: [...asked, message, ...answers(message.tool_calls)], tools: functions,
  });
  equal(await last.finalContent(), scenario.tools.answer);
});

await check('structured', async () => {
  const { name, schema, prompt, answer } = scenario.structured;
  const whole = await client.chat.completions.parse({
    model: MODEL, messages: messages(prompt),
    response_format: { type: 'json_schema', json_schema: { name, schema, strict: true } },
  });
  deepEqual(JSON.parse(whole.choices[0].message.content), answer);
  equal(whole.choices[0].finish_reason, 'stop');
});

await check('embeddings', async () => {
  // The SDK asks for base64 unless told, and decodes it.
  for (const form of [{}, { encoding_format: 'float' }]) {
    const answer = await client.embeddings.create({ model: EMBED, input: scenario.embeddings.inputs, ...form });
    deepEqual(answer.data.map((item) => item.index), [0, 1]);
    embedded(answer.data.map((item) => item.embedding));
  }
});

await check('models', async () => {
  const ids = [];
  for await (const model of client.models.list()) ids.push(model.id);
  ok(ids.includes(MODEL), `${MODEL} in ${ids}`);
  equal((await client.models.retrieve(MODEL)).id, MODEL);
});

await check('error', () => refused(() =>
  client.chat.completions.create({ model: MODEL, messages: messages(scenario.error.prompt) })));

await check('stream-error', () => refused(() =>
  client.chat.completions.stream({ model: MODEL, messages: messages(scenario.error.prompt) }).finalChatCompletion()));
