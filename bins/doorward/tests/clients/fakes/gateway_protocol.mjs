// The AI SDK's gateway protocol, served by the SDK's own types over its OpenAI-compatible provider:
// only to prove the client where no gateway stands between.
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';

export async function gateway(path, headers, call, response, url) {
  const provider = createOpenAICompatible({
    name: 'fake', baseURL: `${url}/v1`, apiKey: 'fake', includeUsage: true, supportsStructuredOutputs: true,
  });
  try {
    if (path.endsWith('/embedding-model')) {
      const model = provider.embeddingModel(headers['ai-model-id'] ?? headers['ai-embedding-model-id']);
      const { embeddings, usage } = await model.doEmbed(call);
      return send(response, { embeddings, usage });
    }
    const model = provider(headers['ai-language-model-id']);
    if (headers['ai-language-model-streaming'] !== 'true') {
      const { request, response: _, ...result } = await model.doGenerate(call);
      return send(response, result);
    }
    const { stream } = await model.doStream(call);
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    for await (const part of stream) response.write(`data: ${JSON.stringify(part)}\n\n`);
    response.end('data: [DONE]\n\n');
  } catch (cause) {
    const status = cause.statusCode ?? 500;
    send(response, { error: { message: cause.message, type: 'invalid_request_error' } }, status);
  }
}

function send(response, body, status = 200) {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
}
