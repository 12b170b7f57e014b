// One turn of the AI SDK: streamText with the tools of an MCP endpoint, over a provider package.
// argv: provider package, prompt. Environment: BASE (the gateway), KEY, MODEL. Prints one JSON line.
import { createMCPClient } from '@ai-sdk/mcp';
import { isStepCount, stepCountIs, streamText } from 'ai';

const [kind, prompt] = process.argv.slice(2);
const { BASE, KEY, MODEL } = process.env;

async function model() {
  if (kind === 'anthropic') {
    const { createAnthropic } = await import('@ai-sdk/anthropic');
    return createAnthropic({ baseURL: `${BASE}/v1`, apiKey: KEY })(MODEL);
  }
  const { createOpenAICompatible } = await import('@ai-sdk/openai-compatible');
  const provider = createOpenAICompatible({
    name: 'doorward', baseURL: `${BASE}/v1`, apiKey: KEY, includeUsage: true,
  });
  return provider(MODEL);
}

const mcp = await createMCPClient({
  transport: { type: 'http', url: `${BASE}/mcp`, headers: { Authorization: `Bearer ${KEY}` } },
});
const tools = await mcp.tools();
const result = streamText({
  model: await model(),
  tools,
  prompt,
  stopWhen: (isStepCount ?? stepCountIs)(6),
  onError: ({ error }) => console.error(error),
});
let deltas = 0;
for await (const _ of result.textStream) deltas += 1;
const steps = await result.steps;
console.log(JSON.stringify({
  tools: Object.keys(tools).sort(),
  text: await result.text,
  deltas,
  finishReason: await result.finishReason,
  calls: steps.flatMap((step) => step.toolCalls.map(({ toolName, input }) => ({ toolName, input }))),
  results: steps.flatMap((step) => step.toolResults.map(({ toolName, output }) => ({ toolName, output }))),
  usage: await (result.totalUsage ?? result.usage),
}));
await mcp.close();
