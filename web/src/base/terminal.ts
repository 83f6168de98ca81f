/**
 * A line of a console as a terminal would show it: colours kept, carriage returns and backspaces obeyed,
 * so a progress bar that redrew itself a thousand times is its last state.
 *
 * Source: ECMA-48, and the colours of xterm (the CSI codes "SGR" and "EL").
 */

/** How a piece of text looks.  A colour is 0 to 15 for the sixteen that have names, else `#rrggbb`. */
export interface TextStyle {
  readonly color?: number | string;
  readonly background?: number | string;
  readonly isBold?: boolean;
  readonly isDim?: boolean;
  readonly isItalic?: boolean;
  readonly isUnderlined?: boolean;
  readonly isStruck?: boolean;
  readonly isInverse?: boolean;
}

export interface TextSpan {
  readonly text: string;
  readonly style: TextStyle;
}

export interface TerminalLine {
  readonly spans: readonly TextSpan[];
  /** The same without its looks: for search, copy and download. */
  readonly text: string;
  /** Columns it takes in a monospaced font. */
  readonly width: number;
}

const PLAIN: TextStyle = {};
const TAB = 8;
/** Of a longer line only the end is drawn: what a progress bar showed hours ago has been overwritten since. */
const MAX_REDRAWN = 200_000;
/** A cursor moved further right than this is a damaged line, not a wide one. */
const MAX_COLUMN = 100_000;

/** Nothing in it moves the cursor or changes the looks. */

const IS_PLAIN = /^[^\u0000-\u001f\u007f-\u009f]*$/;

/** Returns the line that a terminal shows after printing `raw`, which has no newline in it. */
export function renderLine(raw: string): TerminalLine {
  if (IS_PLAIN.test(raw)) {
    return { spans: raw === "" ? [] : [{ text: raw, style: PLAIN }], text: raw, width: textWidth(raw) };
  }
  const screen = new ScreenLine();
  screen.print(lastRedraws(raw));
  return screen.line();
}

/** The end of a very long line, from a carriage return on. */
function lastRedraws(raw: string): string {
  if (raw.length <= MAX_REDRAWN) return raw;
  const start = raw.indexOf("\r", raw.length - MAX_REDRAWN);
  return start < 0 ? raw : raw.slice(start);
}

interface Cell {
  /** Empty in the right half of a wide character. */
  text: string;
  style: TextStyle;
}

/** One row of a terminal. */
class ScreenLine {
  private readonly cells: Cell[] = [];
  private column = 0;
  private style = PLAIN;

  print(text: string): void {
    let at = 0;
    while (at < text.length) {
      if (text[at] === "\u001b") at = this.escape(text, at);
      else at = this.put(text, at);
    }
  }

  line(): TerminalLine {
    const spans: { text: string; style: TextStyle }[] = [];
    for (const cell of this.cells) {
      const last = spans.at(-1);
      if (last?.style === cell.style) last.text += cell.text;
      else spans.push({ text: cell.text, style: cell.style });
    }
    return { spans, text: spans.map((span) => span.text).join(""), width: this.cells.length };
  }

  /** Prints one character, or obeys it; returns where the next one is. */
  private put(text: string, at: number): number {
    const code = text.codePointAt(at) ?? 0;
    const char = String.fromCodePoint(code);
    const width = charWidth(code);
    if (char === "\r") this.column = 0;
    else if (char === "\b") this.column = Math.max(0, this.column - 1);
    else if (char === "\t") this.column = (Math.floor(this.column / TAB) + 1) * TAB;
    else if (width > 0) this.write(char, width);
    else if (code >= 0x300) this.combine(char);
    return at + char.length;
  }

  private write(char: string, width: number): void {
    // The cursor may have been moved beyond the end; what lies between is blank.
    while (this.cells.length < this.column) this.cells.push({ text: " ", style: PLAIN });
    this.cut(this.column);
    this.cut(this.column + width);
    this.cells[this.column] = { text: char, style: this.style };
    if (width === 2) this.cells[this.column + 1] = { text: "", style: this.style };
    this.column += width;
  }

  /** A wide character of which one half is overwritten leaves a blank in the other. */
  private cut(column: number): void {
    const right = this.cells[column];
    const left = this.cells[column - 1];
    if (right?.text !== "" || left === undefined) return;
    left.text = " ";
    right.text = " ";
  }

  /** Accents and joiners belong to the character before them. */
  private combine(char: string): void {
    let column = this.column - 1;
    while (column > 0 && this.cells[column]?.text === "") column--;
    const cell = this.cells[column];
    if (cell !== undefined) cell.text += char;
  }

  /** Obeys an escape sequence, or skips one that says nothing about this line; returns where it ends. */
  private escape(text: string, at: number): number {
    if (text[at + 1] === "]") return endOfCommand(text, at);
    CONTROL.lastIndex = at;
    const found = CONTROL.exec(text);
    if (found === null) {
      // A sequence that goes on in the next write, or one of two characters.
      if (/^\[[0-9:;<=>?]*$/.test(text.slice(at + 1, at + 64))) return text.length;
      return at + (/[@-_]/.test(text[at + 1] ?? "") ? 2 : 1);
    }
    this.obey(found[2] ?? "", found[1] ?? "");
    return CONTROL.lastIndex;
  }

  private obey(command: string, parameters: string): void {
    const count = Math.max(1, Number.parseInt(parameters, 10) || 1);
    if (command === "m") this.style = restyle(this.style, parameters);
    else if (command === "K") this.erase(parameters);
    else if (command === "G") this.column = Math.min(count - 1, MAX_COLUMN);
    else if (command === "C") this.column = Math.min(this.column + count, MAX_COLUMN);
    else if (command === "D") this.column = Math.max(0, this.column - count);
  }

  private erase(parameters: string): void {
    if (parameters === "" || parameters === "0") this.cells.length = Math.min(this.cells.length, this.column);
    else if (parameters === "2") this.cells.length = 0;
    else {
      const end = Math.min(this.column + 1, this.cells.length);
      this.cells.fill({ text: " ", style: PLAIN }, 0, end);
    }
  }
}

const CONTROL = /\u001b\[([0-9:;<=>?]*)[ -/]*([@-~])/y;

/** Where an operating system command (a window title, a link) ends: at BEL or at ESC \. */
function endOfCommand(text: string, at: number): number {
  const end = /\u0007|\u001b\\/g;
  end.lastIndex = at + 2;
  return end.exec(text) === null ? text.length : end.lastIndex;
}

const FLAGS: Readonly<Record<number, TextStyle>> = {
  1: { isBold: true },
  2: { isDim: true },
  3: { isItalic: true },
  4: { isUnderlined: true },
  7: { isInverse: true },
  9: { isStruck: true },
  22: { isBold: false, isDim: false },
  23: { isItalic: false },
  24: { isUnderlined: false },
  27: { isInverse: false },
  29: { isStruck: false },
};

/** The style after an SGR sequence. */
function restyle(before: TextStyle, parameters: string): TextStyle {
  const codes = parameters.split(/[;:]/).map((code) => Number.parseInt(code, 10) || 0);
  let style = before;
  for (let i = 0; i < codes.length; i++) {
    const code = codes[i] ?? 0;
    if (code === 38 || code === 48) {
      const [color, used] = extendedColor(codes.slice(i + 1));
      i += used;
      if (color !== undefined) style = { ...style, [code === 38 ? "color" : "background"]: color };
    } else style = oneCode(style, code);
  }
  return style;
}

function oneCode(style: TextStyle, code: number): TextStyle {
  if (code === 0) return PLAIN;
  if (code === 39) return without(style, "color");
  if (code === 49) return without(style, "background");
  if (code >= 30 && code <= 37) return { ...style, color: code - 30 };
  if (code >= 90 && code <= 97) return { ...style, color: code - 82 };
  if (code >= 40 && code <= 47) return { ...style, background: code - 40 };
  if (code >= 100 && code <= 107) return { ...style, background: code - 92 };
  const flags = FLAGS[code];
  return flags === undefined ? style : { ...style, ...flags };
}

function without(style: TextStyle, name: "color" | "background"): TextStyle {
  return Object.fromEntries(Object.entries(style).filter(([each]) => each !== name));
}

/** The colour after 38 or 48, and how many codes it took: `5;n` of 256, or `2;r;g;b`. */
function extendedColor(codes: readonly number[]): [number | string | undefined, number] {
  const [kind, first = 0, green = 0, blue = 0] = codes;
  if (kind === 5) return [paletteColor(first), 2];
  if (kind === 2) return [hex(first, green, blue), 4];
  return [undefined, 1];
}

/** One of xterm's 256: sixteen names, a cube of 6 × 6 × 6, and 24 greys. */
function paletteColor(index: number): number | string | undefined {
  if (index < 16) return index;
  if (index > 255) return undefined;
  if (index >= 232) {
    const grey = 8 + 10 * (index - 232);
    return hex(grey, grey, grey);
  }
  const cube = index - 16;
  const level = (part: number) => (part === 0 ? 0 : 55 + 40 * part);
  return hex(level(Math.floor(cube / 36)), level(Math.floor(cube / 6) % 6), level(cube % 6));
}

function hex(red: number, green: number, blue: number): string {
  const two = (part: number) => Math.min(part, 255).toString(16).padStart(2, "0");
  return `#${two(red)}${two(green)}${two(blue)}`;
}

/** Columns that a text takes in a monospaced font. */
export function textWidth(text: string): number {
  // Most of what is printed is one column a character.
  if (/^[ -~]*$/.test(text)) return text.length;
  let width = 0;
  for (const char of text) width += charWidth(char.codePointAt(0) ?? 0);
  return width;
}

/** 0 for controls, accents and joiners, 2 for East Asian wide characters and emoji, else 1. */
function charWidth(code: number): number {
  if (code < 0x20 || (code >= 0x7f && code < 0xa0)) return 0;
  if (code < 0x300) return 1;
  if (/\p{Mark}|\p{Format}/u.test(String.fromCodePoint(code))) return 0;
  return WIDE.some(([from, to]) => code >= from && code <= to) ? 2 : 1;
}

/** Source: Unicode 16, EastAsianWidth.txt, its W and F ranges joined where nothing else lies between. */
const WIDE: readonly (readonly [number, number])[] = [
  [0x1100, 0x115f],
  [0x231a, 0x231b],
  [0x23e9, 0x23ec],
  [0x2614, 0x2615],
  [0x26a1, 0x26a1],
  [0x2705, 0x2705],
  [0x274c, 0x274c],
  [0x2728, 0x2728],
  [0x2e80, 0x303e],
  [0x3041, 0xa4cf],
  [0xa960, 0xa97c],
  [0xac00, 0xd7a3],
  [0xf900, 0xfaff],
  [0xfe30, 0xfe6f],
  [0xff01, 0xff60],
  [0xffe0, 0xffe6],
  [0x1f300, 0x1f64f],
  [0x1f680, 0x1f6ff],
  [0x1f900, 0x1f9ff],
  [0x1fa70, 0x1faff],
  [0x20000, 0x3fffd],
];
