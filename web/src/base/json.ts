/**
 * JSON as Python writes it: NaN and infinities are bare tokens, and a number keeps its text, so that an
 * integer of 64 bits and a float of 17 digits can be shown and copied as they were logged.
 */

/** A number with the text that stood for it. */
export class JsonNumber {
  constructor(
    readonly text: string,
    readonly value: number,
  ) {}

  /** Written without a fraction or an exponent: shown in full. */
  get isInteger(): boolean {
    return /^-?\d+$/.test(this.text);
  }
}

/** A map keeps its order, and no key (such as `__proto__`) is special in it. */
export type JsonMap = ReadonlyMap<string, JsonValue>;
export type JsonValue = null | boolean | string | JsonNumber | readonly JsonValue[] | JsonMap;

const SPACE = /[ \t\r\n]*/y;
const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
/** No control character may stand in a string as it is. */

const STRING = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[\da-fA-F]{4}))*"/y;

const WORDS: readonly (readonly [string, JsonValue])[] = [
  ["null", null],
  ["true", true],
  ["false", false],
  ["NaN", new JsonNumber("NaN", NaN)],
  ["Infinity", new JsonNumber("Infinity", Infinity)],
  ["-Infinity", new JsonNumber("-Infinity", -Infinity)],
];

/**
 * Returns the value that a text stands for.
 *
 * @throws SyntaxError that names the place, if the text is not JSON.
 */
export function parseJson(text: string): JsonValue {
  const parser = new Parser(text);
  return parser.document();
}

class Parser {
  private at = 0;

  constructor(private readonly text: string) {}

  document(): JsonValue {
    const value = this.value();
    this.skip(SPACE);
    if (this.at < this.text.length) this.fail();
    return value;
  }

  private value(): JsonValue {
    this.skip(SPACE);
    const next = this.text[this.at];
    if (next === "{") return this.map();
    if (next === "[") return this.list();
    if (next === '"') return this.string();
    for (const [word, value] of WORDS) {
      if (!this.text.startsWith(word, this.at)) continue;
      this.at += word.length;
      return value;
    }
    const number = this.skip(NUMBER);
    return number === "" ? this.fail() : new JsonNumber(number, Number(number));
  }

  private map(): JsonMap {
    const found = new Map<string, JsonValue>();
    this.each("}", () => {
      const key = this.string();
      this.skip(SPACE);
      if (this.text[this.at++] !== ":") this.fail();
      found.set(key, this.value());
    });
    return found;
  }

  private list(): readonly JsonValue[] {
    const found: JsonValue[] = [];
    this.each("]", () => found.push(this.value()));
    return found;
  }

  /** Reads what stands between brackets, comma by comma. */
  private each(end: string, read: () => void): void {
    this.at++;
    this.skip(SPACE);
    if (this.text[this.at] === end) {
      this.at++;
      return;
    }
    for (;;) {
      this.skip(SPACE);
      read();
      this.skip(SPACE);
      const next = this.text[this.at++];
      if (next === end) return;
      if (next !== ",") this.fail();
    }
  }

  private string(): string {
    const quoted = this.skip(STRING);
    if (quoted === "") this.fail();
    return quoted.includes("\\") ? (JSON.parse(quoted) as string) : quoted.slice(1, -1);
  }

  private skip(pattern: RegExp): string {
    pattern.lastIndex = this.at;
    const found = pattern.exec(this.text)?.[0] ?? "";
    this.at += found.length;
    return found;
  }

  private fail(): never {
    throw new SyntaxError(`no JSON at character ${Math.min(this.at, this.text.length)}`);
  }
}

/** Returns the text of a value, indented by two; numbers as they were logged. */
export function writeJson(value: JsonValue, indent = ""): string {
  if (value === null || typeof value === "boolean") return String(value);
  if (typeof value === "string") return JSON.stringify(value);
  if (value instanceof JsonNumber) return value.text;
  const inner = `${indent}  `;
  const [open, close] = isMap(value) ? ["{", "}"] : ["[", "]"];
  const parts = isMap(value)
    ? [...value].map(([key, item]) => `${JSON.stringify(key)}: ${writeJson(item, inner)}`)
    : value.map((item) => writeJson(item, inner));
  if (parts.length === 0) return open + close;
  return `${open}\n${parts.map((part) => inner + part).join(",\n")}\n${indent}${close}`;
}

export function isMap(value: JsonValue): value is JsonMap {
  return value instanceof Map;
}

export function isList(value: JsonValue): value is readonly JsonValue[] {
  return Array.isArray(value);
}
