// What every client does, whatever SDK it is made with: lists all there is, and calls what the
// plan says. Environment: URL, KEY, PLAN (JSON: tools with arguments). Prints one line of JSON.

export const url = process.env.URL;
export const headers = { Authorization: `Bearer ${process.env.KEY}` };
export const plan = JSON.parse(process.env.PLAN ?? '[]');

/** Lists with every function that is given; calls one after the other; prints. A step that fails is
 *  told, and the next goes on. */
export async function run({ tools, prompts, resources, call }) {
  const done = { texts: {}, errors: [] };
  const attempt = async (what, work) => {
    try {
      return await work();
    } catch (error) {
      done.errors.push(`${what}: ${error.message}`.split('\n')[0]);
      return undefined;
    }
  };
  done.tools = await attempt('tools', tools);
  if (prompts) done.prompts = await attempt('prompts', prompts);
  if (resources) done.resources = await attempt('resources', resources);
  for (const { name, arguments: given } of plan) {
    const result = await attempt(name, () => call({ name, arguments: given }));
    if (result) done.texts[name] = result.content?.[0]?.text ?? JSON.stringify(result);
  }
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
