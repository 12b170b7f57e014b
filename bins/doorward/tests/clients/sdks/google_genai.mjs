// npm @google/genai. argv: 2 (its calls go to v1beta) or 3 (to v1).
import {
  BASE, EMBED, KEY, MODEL, called, check, counted, deepEqual, embedded, equal, ok, refused, scenario, streamed,
} from './scenario.mjs';

const [version] = process.argv.slice(2);
const { GoogleGenAI } = await import(version === '2' ? '@google/genai-v2' : '@google/genai');
const client = new GoogleGenAI({ apiKey: KEY, httpOptions: { baseUrl: BASE } });
const call = (prompt, config = {}) => ({
  model: MODEL, contents: [{ role: 'user', parts: [{ text: prompt }] }],
  config: { systemInstruction: scenario.system, ...config },
});
const usage = ({ promptTokenCount, candidatesTokenCount, totalTokenCount }) => {
  counted(promptTokenCount, candidatesTokenCount);
  equal(totalTokenCount, promptTokenCount + candidatesTokenCount);
};
const tools = [{
  functionDeclarations: scenario.tools.offered.map(({ parameters, ...tool }) => ({
    ...tool, parametersJsonSchema: parameters,
  })),
}];
const calls = (parts) => parts.filter((part) => part.functionCall).map((part) => part.functionCall);

/** Runs the calls and asks again with their results. */
function next(parts) {
  called(calls(parts).map(({ name, args }) => ({ name, arguments: args })));
  const results = calls(parts).map(({ id, name }) => ({
    functionResponse: { id, name, response: { output: scenario.tools.results[name] } },
  }));
  const asked = call(scenario.tools.prompt, { tools });
  asked.contents.push({ role: 'model', parts }, { role: 'user', parts: results });
  return asked;
}

await check('text', async () => {
  const whole = await client.models.generateContent(call(scenario.text.prompt));
  equal(whole.text, scenario.text.answer);
  equal(whole.candidates[0].finishReason, 'STOP');
  usage(whole.usageMetadata);
});

await check('stream', async () => {
  const pieces = [];
  let finish, counts;
  for await (const chunk of await client.models.generateContentStream(call(scenario.text.prompt))) {
    if (chunk.text) pieces.push(chunk.text);
    finish = chunk.candidates?.[0]?.finishReason ?? finish;
    counts = chunk.usageMetadata ?? counts;
  }
  streamed(pieces, scenario.text.answer);
  equal(finish, 'STOP');
  usage(counts);
});

await check('tools', async () => {
  const first = await client.models.generateContent(call(scenario.tools.prompt, { tools }));
  usage(first.usageMetadata);
  const last = await client.models.generateContent(next(first.candidates[0].content.parts));
  equal(last.text, scenario.tools.answer);
});

await check('stream-tools', async () => {
  const parts = [];
  for await (const chunk of await client.models.generateContentStream(call(scenario.tools.prompt, { tools }))) {
    parts.push(...(chunk.candidates?.[0]?.content?.parts ?? []));
  }
  const pieces = [];
  for await (const chunk of await client.models.generateContentStream(next(parts))) pieces.push(chunk.text ?? '');
  equal(pieces.join(''), scenario.tools.answer);
});

await check('structured', async () => {
  const { schema, prompt, answer } = scenario.structured;
  const whole = await client.models.generateContent(call(prompt, {
    responseMimeType: 'application/json', responseJsonSchema: schema,
  }));
  deepEqual(JSON.parse(whole.text), answer);
});

await check('embeddings', async () => {
  const answer = await client.models.embedContent({ model: EMBED, contents: scenario.embeddings.inputs });
  embedded(answer.embeddings.map((embedding) => embedding.values));
});

await check('count-tokens', async () => {
  const { model, contents } = call(scenario.text.prompt);
  ok((await client.models.countTokens({ model, contents })).totalTokens > 0);
});

await check('models', async () => {
  const names = [];
  for await (const model of await client.models.list()) names.push(model.name);
  ok(names.includes(`models/${MODEL}`), `${MODEL} in ${names}`);
});

await check('error', () => refused(() => client.models.generateContent(call(scenario.error.prompt))));

await check('stream-error', () => refused(async () => {
  for await (const _ of await client.models.generateContentStream(call(scenario.error.prompt)));
}));
