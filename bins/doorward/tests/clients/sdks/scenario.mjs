// What every client is asked to do and must get back; one JSON line per check.
//
// Environment: BASE (the gateway's root), KEY, MODEL, EMBED (an embedding model), SKIP (checks that
// cannot be, by name, divided by commas; the caller tells why).
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';

export const scenario = JSON.parse(readFileSync(new URL('scenario.json', import.meta.url)));
export const { BASE, KEY } = process.env;
export let { MODEL, EMBED } = process.env;
export const { equal, deepEqual, ok } = assert;

const PATIENCE = 30_000;
let skipped = new Set((process.env.SKIP ?? '').split(','));
let upstream;

/** Asks another upstream from here on. */
export function turnTo({ name, model, embed, skip }) {
  [upstream, MODEL, EMBED, skipped] = [name, model, embed, new Set(skip)];
}

/** Runs one check and tells how it went; a failure is an exit code at the end. */
export async function check(name, act) {
  if (skipped.has(name)) return;
  const began = Date.now();
  const late = new Promise((_, fail) => {
    setTimeout(() => fail(new Error(`nothing within ${PATIENCE} ms`)), PATIENCE).unref();
  });
  let told;
  try {
    await Promise.race([act(), late]);
  } catch (error) {
    told = error.stack ?? String(error);
    process.exitCode = 1;
  }
  console.log(JSON.stringify({ upstream, check: name, ok: told === undefined, ms: Date.now() - began, told }));
}

/** Token counts as the provider gave them. */
export function counted(input, output) {
  deepEqual({ input, output }, scenario.usage);
}

/** A stream that came in one piece did not stream. */
export function streamed(pieces, whole) {
  ok(pieces.length > 3, `only ${pieces.length} pieces`);
  equal(pieces.join(''), whole);
}

/** The two calls, in order, whatever the SDK names their parts. */
export function called(calls) {
  const told = calls.map(({ name, arguments: given }) => ({
    name, arguments: typeof given === 'string' ? JSON.parse(given) : given,
  }));
  deepEqual(told, scenario.tools.calls);
}

/** Distinct ids, none empty: a client answers calls by them. */
export function distinct(ids) {
  ok(ids.every((id) => typeof id === 'string' && id !== ''), `ids: ${ids}`);
  equal(new Set(ids).size, ids.length, `ids: ${ids}`);
}

export function embedded(vectors) {
  deepEqual(vectors.map((vector) => [...vector]), scenario.embeddings.vectors);
}

/** The SDK's own error, with the provider's status and words. */
export async function refused(act, status = (error) => error.status) {
  const error = await act().then(() => undefined, (error) => error);
  ok(error, 'it did not fail');
  equal(status(error), scenario.error.status, String(error));
  ok(String(error.message).includes(scenario.error.message), String(error));
}
