// An MCP client without an SDK, in both eras: what is on the wire is what is written here.

const MODERN = '2026-07-28';
const meta = (key) => `io.modelcontextprotocol/${key}`;
const INFO = { name: 'doorward-test', version: '1.0.0' };
const CAPABILITIES = { elicitation: { form: {}, url: {} }, sampling: {}, roots: {} };

export class Client {
  #id = 0;
  #session;

  constructor(url, headers, version, answer) {
    Object.assign(this, { url, headers, version, answer, modern: version >= MODERN, notifications: [] });
  }

  /** The handshake of the older era, or the look at the server of the newer one. */
  async begin() {
    if (this.modern) return this.request('server/discover', {});
    const params = { protocolVersion: this.version, capabilities: CAPABILITIES, clientInfo: INFO };
    const result = await this.request('initialize', params);
    await this.notify('notifications/initialized');
    return result;
  }

  async reachable() {
    const { tools } = await this.request('tools/list', {}).catch(() => ({}));
    return tools?.length > 0;
  }

  /** A whole list, page by page; one object with the list's own name. */
  async list(method) {
    const whole = {};
    let cursor;
    do {
      const page = await this.request(method, cursor === undefined ? {} : { cursor });
      for (const [name, value] of Object.entries(page)) {
        whole[name] = Array.isArray(value) ? [...(whole[name] ?? []), ...value] : value;
      }
      cursor = page.nextCursor;
    } while (cursor !== undefined);
    return whole;
  }

  /** A request to its final result, with as many rounds as the server wants. */
  async request(method, params) {
    let round = params;
    for (let rounds = 0; rounds < 10; rounds += 1) {
      let result;
      try {
        result = await this.#once(method, round);
      } catch (error) {
        // The older era's way to send the user somewhere first.
        const visits = error.code === -32042 ? error.data?.elicitations : undefined;
        if (!visits?.length) throw error;
        for (const params of visits) await this.answer({ method: 'elicitation/create', params });
        continue;
      }
      if (result.resultType !== 'input_required') return result;
      const asked = Object.entries(result.inputRequests ?? {});
      const inputResponses = {};
      for (const [key, request] of asked) inputResponses[key] = await this.answer(request);
      round = { ...params, inputResponses };
      if (result.requestState !== undefined) round.requestState = result.requestState;
    }
    throw new Error('too many rounds');
  }

  async notify(method, params) {
    await this.#post({ jsonrpc: '2.0', method, ...(params && { params }) });
  }

  async end() {
    if (!this.#session) return;
    await fetch(this.url, { method: 'DELETE', headers: { ...this.headers, 'mcp-session-id': this.#session } });
  }

  async #once(method, params) {
    const id = (this.#id += 1);
    let sent = params;
    if (this.modern) {
      const own = {
        [meta('protocolVersion')]: this.version,
        [meta('clientInfo')]: INFO,
        [meta('clientCapabilities')]: CAPABILITIES,
      };
      sent = { ...params, _meta: { ...params._meta, ...own } };
    }
    const message = await this.#post({ jsonrpc: '2.0', id, method, params: sent });
    if (!message) throw new Error(`no answer to ${method}`);
    if (message.error) throw Object.assign(new Error(`${message.error.code} ${message.error.message}`), message.error);
    return message.result;
  }

  async #post(message) {
    const headers = {
      ...this.headers,
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream',
    };
    if (this.modern || message.method !== 'initialize') headers['mcp-protocol-version'] = this.version;
    if (this.#session) headers['mcp-session-id'] = this.#session;
    if (this.modern && message.method) {
      headers['mcp-method'] = message.method;
      const name = message.params?.name ?? message.params?.uri ?? message.params?.taskId;
      if (name !== undefined) headers['mcp-name'] = encoded(name);
      if (message.method === 'tools/call') Object.assign(headers, this.#mirrored(message.params));
    }
    const answer = await fetch(this.url, { method: 'POST', headers, body: JSON.stringify(message) });
    this.#session ??= answer.headers.get('mcp-session-id') ?? undefined;
    if (answer.headers.get('content-type')?.includes('text/event-stream')) return this.#read(answer, message.id);
    const text = await answer.text();
    if (message.id === undefined) return undefined;
    let found;
    try {
      found = JSON.parse(text);
    } catch {
      throw new Error(`HTTP ${answer.status}: ${text}`);
    }
    this.#learn(message.method, found.result);
    return found;
  }

  /** Reads a stream to the answer, and answers the server's own requests on the way. */
  async #read(answer, id) {
    let rest = '';
    const decoder = new TextDecoder();
    for await (const part of answer.body) {
      rest += decoder.decode(part, { stream: true });
      for (let end = rest.search(/\r?\n\r?\n/); end >= 0; end = rest.search(/\r?\n\r?\n/)) {
        const event = rest.slice(0, end);
        rest = rest.slice(end).replace(/^\r?\n\r?\n/, '');
        const data = event.split(/\r?\n/).filter((line) => line.startsWith('data:')).map((line) => line.slice(5).trimStart()).join('\n');
        if (!data) continue;
        const message = JSON.parse(data);
        if (message.method && message.id !== undefined) {
          const result = await this.answer(message);
          await this.#post({ jsonrpc: '2.0', id: message.id, result });
        } else if (message.method) {
          this.notifications.push(message);
        } else if (message.id === id) {
          this.#learn(undefined, message.result);
          return message;
        }
      }
    }
    return undefined;
  }

  /** Which arguments have to be sent as headers too. */
  #learn(_, result) {
    this.schemas ??= new Map();
    for (const tool of result?.tools ?? []) this.schemas.set(tool.name, tool.inputSchema);
  }

  #mirrored({ name, arguments: given }) {
    const headers = {};
    for (const [argument, schema] of Object.entries(this.schemas?.get(name)?.properties ?? {})) {
      const value = given?.[argument];
      if (schema['x-mcp-header'] && value !== undefined && value !== null) {
        headers[`mcp-param-${schema['x-mcp-header']}`] = encoded(String(value));
      }
    }
    return headers;
  }
}

/** A header's value: as it is where it may be, else in the form that SEP-2243 has for the rest. */
function encoded(text) {
  const plain = /^[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?$/.test(text) && !/^=\?base64\?.*\?=$/.test(text);
  return plain ? text : `=?base64?${Buffer.from(text, 'utf8').toString('base64')}?=`;
}
