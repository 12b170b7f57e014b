// Runs a client program once for each upstream, with its packages loaded only once.
// argv: program, its arguments. Environment: COLUMNS, JSON: [{ "name", "model", "embed", "skip" }].
import { turnTo } from './scenario.mjs';

const [program, ...rest] = process.argv.slice(2);
process.argv = [process.argv[0], program, ...rest];
for (const [number, column] of JSON.parse(process.env.COLUMNS).entries()) {
  turnTo(column);
  // A module is run once per address.
  await import(`./${program}?${number}`);
}
