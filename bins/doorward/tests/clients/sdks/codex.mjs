// Codex, one turn with its own shell tool.
import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { run } from './command.mjs';
import { BASE, KEY, MODEL, check, equal, ok, scenario } from './scenario.mjs';

const { prompt, answer } = scenario.agent;

await check('agent', async () => {
  const home = mkdtempSync(join(tmpdir(), 'codex-'));
  mkdirSync(join(home, '.codex'));
  writeFileSync(join(home, '.codex/config.toml'), `
model = ${JSON.stringify(MODEL)}
model_provider = "doorward"
[model_providers.doorward]
name = "doorward"
base_url = "${BASE}/v1"
env_key = "KEY"
wire_api = "responses"
request_max_retries = 0
stream_max_retries = 0
`);
  const last = join(home, 'last.txt');
  const out = await run('node_modules/.bin/codex', [
    'exec', '--skip-git-repo-check', '--dangerously-bypass-approvals-and-sandbox', '--json',
    '--output-last-message', last, prompt,
  ], { cwd: home, env: { HOME: home, PATH: process.env.PATH, KEY } });
  equal(readFileSync(last, 'utf8').trim(), answer, out);
  const events = out.trim().split('\n').map((line) => JSON.parse(line));
  const done = events.find((event) => event.type === 'turn.completed');
  ok(done?.usage.input_tokens > 0, out);
});
