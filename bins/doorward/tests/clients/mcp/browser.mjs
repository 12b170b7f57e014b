// A browser without a window: keeps cookies by host, follows redirects, fills in forms.

const ENTITIES = { amp: '&', lt: '<', gt: '>', quot: '"', '#39': "'" };
const plain = (text) => text.replace(/&(#?\w+);/g, (whole, name) => ENTITIES[name] ?? whole);

export class Browser {
  #jar = new Map();

  /** Has a cookie of a host from before. */
  give(host, name, value) {
    this.#jar.set(host, new Map([...(this.#jar.get(host) ?? []), [name, value]]));
  }

  /** Opens a page as a link does, or sends a form to it. */
  async open(url, form) {
    let at = new URL(url);
    let body = form && new URLSearchParams(form);
    for (let hops = 0; hops < 20; hops += 1) {
      const cookies = [...(this.#jar.get(at.host) ?? new Map())].map(([name, value]) => `${name}=${value}`).join('; ');
      const headers = { ...(cookies && { cookie: cookies }), ...(body && { origin: 'null' }) };
      const answer = await fetch(at, { method: body ? 'POST' : 'GET', body, redirect: 'manual', headers });
      this.#keep(at.host, answer);
      const next = answer.headers.get('location');
      if (!next || answer.status < 300 || answer.status > 399) {
        return { url: at.href, status: answer.status, text: await answer.text() };
      }
      await answer.body?.cancel();
      at = new URL(next, at);
      body = undefined;
    }
    throw new Error(`too many redirects from ${url}`);
  }

  /** Fills in the first form of a page and sends it. */
  async submit(page, fields = {}) {
    const form = page.text.match(/<form method="post" action="([^"]*)">([\s\S]*?)<\/form>/);
    if (!form) throw new Error(`no form on ${page.url}: ${page.status} ${page.text}`);
    const hidden = [...form[2].matchAll(/<input type="hidden" name="([^"]*)" value="([^"]*)">/g)];
    const all = { ...Object.fromEntries(hidden.map(([, name, value]) => [plain(name), plain(value)])), ...fields };
    return this.open(new URL(plain(form[1]), page.url), all);
  }

  #keep(host, answer) {
    for (const set of answer.headers.getSetCookie()) {
      const [name, ...value] = set.split(';')[0].split('=');
      if (!this.#jar.has(host)) this.#jar.set(host, new Map());
      this.#jar.get(host).set(name.trim(), value.join('='));
    }
  }
}

/** Opens a page as the user does. Gives the last URL, its status and its text. */
export const visit = (url) => new Browser().open(url);

/** Follows a link of the gateway's: signs in with the key, goes on, and comes back connected. */
export async function connect(url, key, browser = new Browser()) {
  let page = await browser.open(url);
  if (page.text.includes('name="key"')) page = await browser.submit(page, { key });
  page = await browser.submit(page);
  if (!page.text.includes('<h1>Connected</h1>')) throw new Error(`not connected: ${page.status} ${page.url} ${page.text}`);
  return page;
}
