// What every client does, whatever SDK it is made with: lists all there is, and calls what the
// plan says. Environment: URL, KEY, PLAN (JSON: tools with arguments). Prints one line of JSON.

export const url = process.env.URL;
export const headers = { Authorization: `Bearer ${process.env.KEY}` };
export const plan = JSON.parse(process.env.PLAN ?? '[]');

/** Lists with every function that is given; calls one after the other; prints. */
export async function run({ tools, prompts, resources, call, version }) {
  const done = { tools: (await tools()).sort(), texts: {} };
  if (prompts) done.prompts = (await prompts()).sort();
  if (resources) done.resources = (await resources()).sort();
  for (const { name, arguments: given } of plan) {
    const result = await call({ name, arguments: given });
    done.texts[name] = result.content?.[0]?.text ?? JSON.stringify(result);
  }
  if (version) done.version = version();
  console.log(JSON.stringify(done));
}

/** A list that comes in pages, whole. */
export async function whole(page, field, key) {
  const all = [];
  let cursor;
  do {
    const part = await page(cursor === undefined ? undefined : { cursor });
    all.push(...part[field].map((entry) => entry[key]));
    cursor = part.nextCursor;
  } while (cursor !== undefined);
  return all;
}
