// Claude over Bedrock's InvokeModelWithResponseStream: aimock's frames hold the events as they are,
// Bedrock's hold them in base64. Its own Messages stream is framed here instead, after
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/RESTSelectObjectAppendix.html
import { crc32 } from 'node:zlib';

export async function invokeStream(model, body, response, url) {
  const call = JSON.stringify({ ...JSON.parse(body), model, stream: true });
  const answer = await fetch(`${url}/v1/messages`, { method: 'POST', body: call });
  const text = await answer.text();
  if (!answer.ok) {
    response.writeHead(answer.status, { 'content-type': 'application/json', 'x-amzn-errortype': 'ValidationException' });
    return response.end(JSON.stringify({ message: JSON.parse(text).error.message }));
  }
  response.writeHead(200, { 'content-type': 'application/vnd.amazon.eventstream' });
  for (const [, event] of text.matchAll(/^data: (.*)$/gm)) {
    const payload = JSON.stringify({ bytes: Buffer.from(event).toString('base64') });
    response.write(frame({ ':event-type': 'chunk', ':content-type': 'application/json', ':message-type': 'event' }, payload));
  }
  return response.end();
}

/** Prelude (lengths and their checksum), headers of type string, payload, checksum of it all. */
function frame(headers, payload) {
  const fields = Buffer.concat(Object.entries(headers).flatMap(([name, value]) => [
    Buffer.from([name.length]), Buffer.from(name), Buffer.from([7, 0, value.length]), Buffer.from(value),
  ]));
  const content = Buffer.from(payload);
  const prelude = Buffer.alloc(12);
  prelude.writeUInt32BE(16 + fields.length + content.length, 0);
  prelude.writeUInt32BE(fields.length, 4);
  prelude.writeUInt32BE(crc32(prelude.subarray(0, 8)), 8);
  const message = Buffer.concat([prelude, fields, content]);
  const sum = Buffer.alloc(4);
  sum.writeUInt32BE(crc32(message));
  return Buffer.concat([message, sum]);
}
