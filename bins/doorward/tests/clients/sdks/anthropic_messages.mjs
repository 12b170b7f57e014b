// npm @anthropic-ai/sdk.
import Anthropic from '@anthropic-ai/sdk';
import {
  BASE, KEY, MODEL, called, check, counted, deepEqual, distinct, equal, ok, refused, scenario, streamed,
} from './scenario.mjs';

const client = new Anthropic({ baseURL: BASE, apiKey: KEY, maxRetries: 0 });
const call = (prompt, more = {}) => ({
  model: MODEL, max_tokens: 256, system: scenario.system,
  messages: [{ role: 'user', content: prompt }], ...more,
});
const usage = ({ input_tokens, output_tokens }) => counted(input_tokens, output_tokens);
const text = (message) => message.content.filter((b) => b.type === 'text').map((b) => b.text).join('');
const tools = scenario.tools.offered.map(({ parameters, ...tool }) => ({ ...tool, input_schema: parameters }));

function turn(first) {
  const uses = first.content.filter((block) => block.type === 'tool_use');
  called(uses.map(({ name, input }) => ({ name, arguments: input })));
  distinct(uses.map((use) => use.id));
  equal(first.stop_reason, 'tool_use');
  usage(first.usage);
  const results = uses.map((use) => ({
    type: 'tool_result', tool_use_id: use.id, content: scenario.tools.results[use.name],
  }));
  return call(scenario.tools.prompt, {
    tools,
    messages: [
      { role: 'user', content: scenario.tools.prompt },
      { role: 'assistant', content: first.content },
      { role: 'user', content: results },
    ],
  });
}

await check('text', async () => {
  const whole = await client.messages.create(call(scenario.text.prompt));
  equal(text(whole), scenario.text.answer);
  equal(whole.stop_reason, 'end_turn');
  usage(whole.usage);
});

await check('stream', async () => {
  const pieces = [];
  const stream = client.messages.stream(call(scenario.text.prompt)).on('text', (piece) => pieces.push(piece));
  const whole = await stream.finalMessage();
  streamed(pieces, scenario.text.answer);
  equal(whole.stop_reason, 'end_turn');
  usage(whole.usage);
});

await check('tools', async () => {
  const first = await client.messages.create(call(scenario.tools.prompt, { tools }));
  const last = await client.messages.create(turn(first));
  equal(text(last), scenario.tools.answer);
  equal(last.stop_reason, 'end_turn');
});

await check('stream-tools', async () => {
  const first = await client.messages.stream(call(scenario.tools.prompt, { tools })).finalMessage();
  equal(await client.messages.stream(turn(first)).finalText(), scenario.tools.answer);
});

await check('structured', async () => {
  const { schema, prompt, answer } = scenario.structured;
  const whole = await client.messages.create(call(prompt, {
    output_config: { format: { type: 'json_schema', schema } },
  }));
  deepEqual(JSON.parse(text(whole)), answer);
  equal(whole.stop_reason, 'end_turn');
});

await check('count-tokens', async () => {
  const { max_tokens, ...counted } = call(scenario.text.prompt);
  ok((await client.messages.countTokens(counted)).input_tokens > 0);
});

await check('models', async () => {
  const ids = [];
  for await (const model of client.models.list()) ids.push(model.id);
  ok(ids.includes(MODEL), `${MODEL} in ${ids}`);
});

await check('error', () => refused(() => client.messages.create(call(scenario.error.prompt))));

await check('stream-error', () => refused(() =>
  client.messages.stream(call(scenario.error.prompt)).finalMessage()));
