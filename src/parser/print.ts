// A statement as canonical text, laid out as a person would write it: this is what SHOW CREATE answers, and
// parse(print(statement)) is the same statement up to its spans. Strings keep their style and numbers and durations their
// spelling. A value made by hand that would not read back as itself (a word with a blank in it) is printed as a string.

import type {
  Body,
  DefineProcedureStatement,
  DefineStatement,
  Entry,
  ListStatement,
  Name,
  ObjectValue,
  Parameter,
  SqlBody,
  Statement,
  StringValue,
  TimeValue,
  Value,
} from './ast.ts';
import { freePlace, keyIn, legacyPlace, type Place, places, type Shape } from './keys.ts';
import { isSpace, tokenAt, trimSpace } from './lexer.ts';
import { isPlainWord } from './make.ts';
import { bodyEnd } from './split.ts';
import { isBareCron, itemShape, objectPlace, takesPhrase } from './values.ts';

/** A list or an object stays on one line up to this width. */
const lineWidth = 100;

/** Canonical text, without a `;` at its end. */
export function print(statement: Statement): string {
  switch (statement.kind) {
    case 'define':
      return printDefine(statement);
    case 'defineProcedure':
      return printProcedure(statement);
    case 'alter':
      return words('ALTER', noun(statement.noun), name(statement.name), 'SET', definition(statement.changes, places[statement.noun]));
    case 'drop':
      return words('DROP', noun(statement.noun), statement.ifExists && 'IF EXISTS', names(statement.names));
    case 'enable':
      return words(noun(statement.verb), 'SCHEDULE', statement.all ? 'ALL' : enabledNames(statement.names));
    case 'list':
      return printList(statement);
    case 'describe':
      return words('DESCRIBE', noun(statement.noun), name(statement.name));
    case 'showCreate':
      return words('SHOW CREATE', noun(statement.noun), name(statement.name));
    case 'explainSchedule':
      return words('EXPLAIN SCHEDULE', name(statement.name), statement.next && `NEXT ${statement.next.text}`);
    case 'explainCron': {
      const { expression, zone, next } = statement;
      return words('EXPLAIN CRON', string(expression), zone && `IN ${string(zone)}`, next && `NEXT ${next.text}`);
    }
    case 'explainPipeline':
      return words('EXPLAIN PIPELINE', name(statement.name), statement.mermaid && 'AS MERMAID');
    case 'call':
    case 'passThrough':
      return statement.text;
    case 'runSchedule': {
      const { names: targets, with: given, await: awaits, alone, dryRun } = statement;
      return words('RUN SCHEDULE', names(targets), withParameters(given), awaits && 'AWAIT', alone && 'ALONE', dryRun && 'DRY RUN');
    }
    case 'runPipeline': {
      const { with: given, await: awaits, dryRun } = statement;
      return words('RUN PIPELINE', name(statement.name), withParameters(given), awaits && 'AWAIT', dryRun && 'DRY RUN');
    }
    case 'backfill': {
      const { from, to, parallel, onlyMissing, dryRun } = statement;
      const stretch = `FROM ${time(from)} TO ${time(to)}`;
      const options = [parallel && `PARALLEL ${parallel.text}`, onlyMissing && 'ONLY MISSING', dryRun && 'DRY RUN'];
      return words('BACKFILL SCHEDULE', name(statement.name), stretch, ...options);
    }
    case 'simulate':
      return `SIMULATE SCHEDULES FROM ${time(statement.from)} TO ${time(statement.to)}`;
    case 'describeRun':
    case 'cancelRun':
    case 'retryRun':
    case 'tailRun':
    case 'explainRun':
      return `${noun(statement.kind.slice(0, -3))} RUN ${string(statement.run)}`;
    case 'cancelRuns':
      return `CANCEL RUNS WHERE ${statement.where.text}`;
    case 'retryDeadLetter':
    case 'dropDeadLetter': {
      const verb = statement.kind === 'retryDeadLetter' ? 'RETRY' : 'DROP';
      return `${verb} DEAD LETTER ${statement.run === undefined ? 'ALL' : string(statement.run)}`;
    }
    case 'pauseQueue':
      return `${statement.paused ? 'PAUSE' : 'RESUME'} QUEUE ${name(statement.name)}`;
    case 'pauseScheduler':
      return `${statement.paused ? 'PAUSE' : 'RESUME'} SCHEDULER`;
    case 'backup':
      return `BACKUP TO ${string(statement.path)}`;
    case 'set':
      return `SET cron.${name(statement.name)} = ${value(statement.value, anything, '')}`;
    case 'reset':
      return `RESET cron.${name(statement.name)}`;
    default:
      return statement satisfies never;
  }
}

const anything: Shape = { kind: 'any' };

function printDefine(statement: DefineStatement): string {
  const { like } = statement;
  const head = words(verbOf(statement), noun(statement.noun), statement.ifNotExists && 'IF NOT EXISTS', newName(statement.name));
  return words(head, like && `LIKE ${name(like)}`, definition(statement.definition, places[statement.noun]));
}

function printProcedure(statement: DefineProcedureStatement): string {
  const { legacy, options, body } = statement;
  const head = words(verbOf(statement), 'PROCEDURE', statement.ifNotExists && 'IF NOT EXISTS', newName(statement.name));
  const prefix = legacy && ` <${value(legacy, { kind: 'object', place: legacyPlace }, '')}> `;
  const parameters = list('(', statement.parameters.map(parameter), ')', '');
  const language = body.kind === 'sqlBody' ? undefined : body.kind === 'commandBody' ? 'LANGUAGE command' : 'LANGUAGE javascript';
  const clauses = words(options && definition(options, places.procedure, 'tight'), language, 'AS');
  return `${head}${prefix ?? ''}${parameters} ${clauses}${printBody(body)}`;
}

function verbOf({ verb }: { readonly verb: 'upsert' | 'create' }): string {
  return verb === 'upsert' ? 'UPSERT' : 'CREATE';
}

function parameter({ name: parameterName, type, default: initial }: Parameter): string {
  return words(name(parameterName), type.text, initial && `DEFAULT ${initial.text}`);
}

function printBody(body: Body): string {
  switch (body.kind) {
    case 'commandBody':
      return ` ${value(body.command, anything, '')}`;
    case 'handlerBody':
      return ` ${string(body.path)}`;
    case 'sqlBody':
      return printSqlBody(body);
    default:
      return body satisfies never;
  }
}

function printSqlBody(body: SqlBody): string {
  const { text } = body;
  if (body.form === 'block' || body.form === 'braces') {
    const inside = `\n  ${text}\n`;
    const printed = body.form === 'block' ? `BEGIN${inside}END` : `{${inside}}`;
    // Text that was made by hand may hold an END or a brace of its own; a dollar quote holds anything.
    const end = bodyEnd(printed, 0);
    if (end?.end === printed.length && trimSpace(printed.slice(end.inside.start, end.inside.end)).text === text) return `\n${printed}`;
  }
  if (body.form === 'string') return ` ${quoted(text, "'")}`;
  return text.includes('\n') || text.includes('--') ? ` ${dollar(`\n  ${text}\n`)}` : ` ${dollar(` ${text} `)}`;
}

function printList(statement: ListStatement): string {
  const { relation, ambiguous, like, where, orderBy, limit, offset } = statement;
  const relationWords = relation === 'dead_letters' ? 'DEAD LETTERS' : relation.toUpperCase();
  return words(
    ambiguous ? 'SHOW' : 'LIST',
    relationWords,
    like && `LIKE ${string(like)}`,
    where && `WHERE ${where.text}`,
    orderBy && `ORDER BY ${orderBy.text}`,
    limit && `LIMIT ${limit.text}`,
    offset && `OFFSET ${offset.text}`,
  );
}

function withParameters(given: ObjectValue | undefined): string | undefined {
  return given && `WITH ${definition(given, freePlace, 'tight')}`;
}

function time(value: TimeValue): string {
  return value.kind === 'string' ? string(value) : value.text;
}

/** `( key: value, .. )`: one key a line, or, where `tight`, on one line if it fits. */
function definition(object: ObjectValue, place: Place, layout: 'tall' | 'tight' = 'tall'): string {
  if (object.entries.length === 0) return '()';
  const printed = object.entries.map((entry) => printEntry(entry, place, '  '));
  const line = `( ${printed.join(', ')} )`;
  if (layout === 'tight' && line.length <= lineWidth && !line.includes('\n')) return line;
  return `(\n${printed.map((entry) => `  ${entry}`).join(',\n')}\n)`;
}

function printEntry({ key, value: given }: Entry, place: Place, indent: string): string {
  const shape = place.keys === undefined ? undefined : keyIn(place, key.text)?.shape;
  return `${name(key)}: ${value(given, shape ?? anything, indent)}`;
}

function value(given: Value, shape: Shape, indent: string): string {
  switch (given.kind) {
    case 'string':
      return string(given);
    case 'boolean':
      return String(given.value);
    case 'null':
      return 'null';
    case 'number':
    case 'size':
    case 'clock':
    case 'instant':
    case 'duration':
      return given.text;
    case 'word':
      return isWord(given.text) ? given.text : quoted(given.text, "'");
    case 'phrase':
      return takesPhrase(shape) && isPhrase(given.text, shape) ? given.text : quoted(given.text, "'");
    case 'list': {
      const of = itemShape(shape);
      return list(
        '[',
        given.items.map((item) => value(item, of, `${indent}  `)),
        ']',
        indent,
      );
    }
    case 'object': {
      const place = objectPlace(shape);
      const entries = given.entries.map((entry) => printEntry(entry, place, `${indent}  `));
      return entries.length === 0 ? '{}' : list('{ ', entries, ' }', indent);
    }
    case 'call':
      return `${given.name}(${given.arguments.map((item) => value(item, anything, indent)).join(', ')})`;
    default:
      return given satisfies never;
  }
}

/** On one line if it fits, else one item a line. */
function list(open: string, items: readonly string[], close: string, indent: string): string {
  const line = `${open}${items.join(', ')}${close}`;
  if (items.length === 0 || (line.length + indent.length <= lineWidth && !line.includes('\n'))) return line;
  return `${open.trim()}\n${items.map((item) => `${indent}  ${item}`).join(',\n')}\n${indent}${close.trim()}`;
}

function string({ text, style }: StringValue): string {
  switch (style) {
    case 'single':
      return quoted(text, "'");
    case 'double':
      return quoted(text, '"');
    case 'dollar':
      return dollar(text);
    case 'escape':
      return `E'${text.replace(/[\\'\n\r\t\b\f]/g, (character) => escapes[character] ?? character)}'`;
    default:
      return style satisfies never;
  }
}

const escapes: Readonly<Record<string, string>> = {
  '\\': '\\\\',
  "'": "''",
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
  '\b': '\\b',
  '\f': '\\f',
};

function quoted(text: string, quote: string): string {
  return `${quote}${text.replaceAll(quote, quote + quote)}${quote}`;
}

/** Under the first tag that the text does not hold: `$$`, `$text$`, `$text1$`, .. */
function dollar(text: string): string {
  for (let count = 0; ; count++) {
    const tag = count === 0 ? '$$' : `$text${count === 1 ? '' : count - 1}$`;
    if (`${text}${tag}`.indexOf(tag) === text.length) return `${tag}${text}${tag}`;
  }
}

function name(given: Name): string {
  return given.quoted || !isPlainWord(given.text) ? quoted(given.text, '"') : given.text;
}

function names(given: readonly Name[]): string {
  return given.map(name).join(', ');
}

/** After ENABLE a plain `all` means all of them; a schedule of that name is quoted. */
function enabledNames([first, ...more]: readonly Name[]): string {
  if (first === undefined) return 'ALL';
  return names([/^all$/i.test(first.text) ? { ...first, quoted: true } : first, ...more]);
}

/** The name in a definition: one that would be read as the word before a name has that word in front of it. */
function newName(given: Name): string {
  return !given.quoted && /^(?:as|if)$/i.test(given.text) ? `AS ${given.text}` : name(given);
}

function noun(word: string): string {
  return word.toUpperCase();
}

function words(...pieces: readonly (string | false | undefined)[]): string {
  return pieces.filter((piece) => typeof piece === 'string' && piece !== '').join(' ');
}

/** Reads back as one word: `skip`, `nightly.load`, `@daily`, and none of the constants. */
function isWord(text: string): boolean {
  if (/^(?:true|false|null)$/i.test(text)) return false;
  const token = tokenAt(text, 0);
  if (token.kind === 'alias') return token.end === text.length;
  return text.split('.').every(isPlainWord);
}

/** Reads back as this very phrase: tokens one blank apart at most, brackets in pairs, nothing that ends it early. */
function isPhrase(text: string, shape: Shape): boolean {
  let depth = 0;
  let count = 0;
  let end = 0;
  let afterWord = false;
  for (let token = tokenAt(text, 0); token.kind !== 'end'; token = tokenAt(text, token.end)) {
    const gap = text.slice(end, token.start);
    if (token.unterminated || (gap !== '' && (gap !== ' ' || count === 0))) return false;
    const symbol = token.kind === 'symbol' ? text.slice(token.start, token.end) : '';
    if (symbol === ';' || (symbol === ':' && afterWord)) return false;
    if (depth === 0 && (symbol === ',' || symbol === ')' || symbol === ']' || symbol === '}')) return false;
    if (symbol === '(' || symbol === '[' || symbol === '{') depth += 1;
    if (symbol === ')' || symbol === ']' || symbol === '}') depth -= 1;
    count += 1;
    end = token.end;
    afterWord = token.kind === 'word';
    if (count === 2 && symbol === '(') return false;
  }
  const begins = tokenAt(text, 0);
  const opens = begins.kind === 'symbol' && /^[[{]/.test(text);
  return (
    count > 1 &&
    depth === 0 &&
    end === text.length &&
    !opens &&
    (shape.kind === 'phrase' || !isBareCron(text)) &&
    !isSpace(text.charCodeAt(0))
  );
}
