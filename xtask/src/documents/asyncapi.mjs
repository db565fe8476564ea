// Parses AsyncAPI documents with AsyncAPI's own parser; an error, a warning or a document that it does not parse ends with 1.
import { readFileSync } from 'node:fs';
import { Parser } from '@asyncapi/parser';

const ERROR_OR_WARNING = 1;
// It wants the newest version of AsyncAPI; ours is 3.0 on purpose.
const IGNORED = new Set(['asyncapi-latest-version']);

const parser = new Parser();
let failed = false;
for (const file of process.argv.slice(2)) {
  const { document, diagnostics } = await parser.parse(readFileSync(file, 'utf8'));
  for (const { severity, code, path, message } of diagnostics) {
    if (severity > ERROR_OR_WARNING || IGNORED.has(code)) continue;
    console.error(`${file}: ${path.join('/')}: ${message} (${code})`);
    failed = true;
  }
  if (document === undefined) {
    console.error(`${file}: it is no AsyncAPI document`);
    failed = true;
  }
}
process.exit(failed ? 1 : 0);
