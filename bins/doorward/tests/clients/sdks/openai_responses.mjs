// npm openai, Responses: stateless, the items sent back as they came.
import OpenAI from 'openai';
import {
  BASE, KEY, MODEL, called, check, counted, deepEqual, distinct, equal, ok, refused, scenario, streamed,
} from './scenario.mjs';

const client = new OpenAI({ baseURL: `${BASE}/v1`, apiKey: KEY, maxRetries: 0 });
const call = (prompt, more = {}) => ({
  model: MODEL, instructions: scenario.system, store: false,
  input: [{ role: 'user', content: prompt }], ...more,
});
const usage = ({ input_tokens, output_tokens, total_tokens }) => {
  counted(input_tokens, output_tokens);
  equal(total_tokens, input_tokens + output_tokens);
};
const functions = scenario.tools.offered.map((tool) => ({ type: 'function', strict: true, ...tool }));
const calls = (response) => response.output.filter((item) => item.type === 'function_call');
const answers = (response) => calls(response).map((item) => ({
  type: 'function_call_output', call_id: item.call_id, output: scenario.tools.results[item.name],
}));

await check('text', async () => {
  const whole = await client.responses.create(call(scenario.text.prompt));
  equal(whole.output_text, scenario.text.answer);
  equal(whole.status, 'completed');
  usage(whole.usage);
});

await check('stream', async () => {
  const pieces = [];
  const stream = client.responses.stream(call(scenario.text.prompt));
  stream.on('response.output_text.delta', (event) => pieces.push(event.delta));
  const whole = await stream.finalResponse();
  streamed(pieces, scenario.text.answer);
  equal(whole.output_text, scenario.text.answer);
  equal(whole.status, 'completed');
  usage(whole.usage);
});

await check('events', async () => {
  const types = [];
  const numbers = [];
  for await (const event of await client.responses.create(call(scenario.text.prompt, { stream: true }))) {
    if (types.at(-1) !== event.type) types.push(event.type);
    if (event.sequence_number !== undefined) numbers.push(event.sequence_number);
  }
  for (const type of [
    'response.created', 'response.output_item.added', 'response.content_part.added',
    'response.output_text.delta', 'response.output_text.done', 'response.content_part.done',
    'response.output_item.done', 'response.completed',
  ]) ok(types.includes(type), `${type} in ${types}`);
  equal(types[0], 'response.created');
  equal(types.at(-1), 'response.completed');
  deepEqual(numbers, [...numbers].sort((a, b) => a - b));
});

await check('tools', async () => {
  const asked = call(scenario.tools.prompt, { tools: functions });
  const first = await client.responses.create(asked);
  called(calls(first));
  distinct(calls(first).map((item) => item.call_id));
  usage(first.usage);
  const last = await client.responses.create({
    ...asked, input: [...asked.input, ...first.output, ...answers(first)],
  });
  equal(last.output_text, scenario.tools.answer);
});

await check('stream-tools', async () => {
  const asked = call(scenario.tools.prompt, { tools: functions });
  const first = await client.responses.stream(asked).finalResponse();
  called(calls(first));
  distinct(calls(first).map((item) => item.call_id));
  usage(first.usage);
  const input = [...asked.input, ...calls(first).map(({ parsed_arguments, ...item }) => item), ...answers(first)];
  const last = await client.responses.stream({ ...asked, input }).finalResponse();
  equal(last.output_text, scenario.tools.answer);
});

await check('kept', async () => {
  const asked = call(scenario.tools.prompt, { tools: functions, store: true });
  const first = await client.responses.create(asked);
  const last = await client.responses.stream({
    ...asked, previous_response_id: first.id, input: answers(first),
  }).finalResponse();
  equal(last.output_text, scenario.tools.answer);
  equal(last.previous_response_id, first.id);
  const again = await client.responses.retrieve(first.id);
  deepEqual([again.id, calls(again).length], [first.id, 2]);
  const items = await client.responses.inputItems.list(first.id);
  ok(JSON.stringify(items.data).includes(scenario.tools.prompt), JSON.stringify(items.data));
  await client.responses.delete(first.id);
  const gone = await client.responses.retrieve(first.id).catch((error) => error.status);
  equal(gone, 404);
});

await check('count-tokens', async () => {
  const { store, ...asked } = call(scenario.text.prompt);
  ok((await client.responses.inputTokens.count(asked)).input_tokens > 0);
});

await check('structured', async () => {
  const { name, schema, prompt, answer } = scenario.structured;
  const whole = await client.responses.create(call(prompt, {
    text: { format: { type: 'json_schema', name, schema, strict: true } },
  }));
  deepEqual(JSON.parse(whole.output_text), answer);
});

await check('custom', async () => {
  const { name, description, prompt, input, result, answer } = scenario.custom;
  const asked = call(prompt, { tools: [{ type: 'custom', name, description }] });
  const first = await client.responses.create(asked);
  const [item] = first.output.filter((item) => item.type === 'custom_tool_call');
  ok(item, JSON.stringify(first.output));
  deepEqual([item.name, item.input], [name, input]);
  const back = { type: 'custom_tool_call_output', call_id: item.call_id, output: result };
  const last = await client.responses.create({ ...asked, input: [...asked.input, ...first.output, back] });
  equal(last.output_text, answer);
});

await check('error', () => refused(() => client.responses.create(call(scenario.error.prompt))));

await check('stream-error', () => refused(() =>
  client.responses.stream(call(scenario.error.prompt)).finalResponse()));
