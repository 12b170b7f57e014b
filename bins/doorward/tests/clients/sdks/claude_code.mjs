// Claude Code, one turn with its own shell tool.
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { run } from './command.mjs';
import { BASE, KEY, MODEL, check, equal, ok, scenario } from './scenario.mjs';

const { prompt, answer } = scenario.agent;

await check('agent', async () => {
  const home = mkdtempSync(join(tmpdir(), 'claude-code-'));
  const out = await run(`node_modules/@anthropic-ai/claude-code-${process.platform}-${process.arch}/claude`, [
    '-p', prompt, '--model', MODEL, '--output-format', 'json', '--allowedTools', 'Bash', '--max-turns', '4',
  ], {
    cwd: home,
    env: {
      HOME: home, PATH: process.env.PATH, ANTHROPIC_BASE_URL: BASE, ANTHROPIC_AUTH_TOKEN: KEY,
      ANTHROPIC_DEFAULT_OPUS_MODEL: MODEL, ANTHROPIC_DEFAULT_SONNET_MODEL: MODEL,
      ANTHROPIC_DEFAULT_HAIKU_MODEL: MODEL, CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: '1',
      DISABLE_AUTOUPDATER: '1',
    },
  });
  const result = JSON.parse(out);
  equal(result.is_error, false, out);
  equal(result.result, answer);
  equal(result.num_turns, 2);
  ok(result.usage.input_tokens > 0 && result.usage.output_tokens > 0, out);
});
