// A browser without a window: follows redirects with its cookies, until one leads nowhere further.

/** Opens a page as the user does. Gives the last URL, its status and its text. */
export async function visit(url, jar = new Map()) {
  let at = new URL(url);
  for (let hops = 0; hops < 20; hops += 1) {
    const cookies = [...(jar.get(at.host) ?? new Map())].map(([name, value]) => `${name}=${value}`).join('; ');
    const answer = await fetch(at, { redirect: 'manual', headers: cookies ? { cookie: cookies } : {} });
    for (const set of answer.headers.getSetCookie()) {
      const [name, ...value] = set.split(';')[0].split('=');
      if (!jar.has(at.host)) jar.set(at.host, new Map());
      jar.get(at.host).set(name.trim(), value.join('='));
    }
    const next = answer.headers.get('location');
    if (!next || answer.status < 300 || answer.status > 399) {
      return { url: at.href, status: answer.status, text: await answer.text() };
    }
    await answer.body?.cancel();
    at = new URL(next, at);
  }
  throw new Error(`too many redirects from ${url}`);
}
