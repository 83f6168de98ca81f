/**
 * The console log of one run, fetched by the window that is looked at: a million lines cost what is on
 * the screen.  Lines are kept in chunks by their sequence; what has changed since is fetched again only
 * where it is seen, and the lines on the screen stay until the new ones come.
 */
import { renderLine, type TerminalLine } from "@/base/terminal";
import type { ConsoleAnswer, ConsoleLine } from "@/wire/client";

/** A line as it was printed, and as a terminal shows it. */
export class LogLine {
  private rendered: TerminalLine | undefined;

  constructor(private readonly line: ConsoleLine) {}

  get sequence(): number {
    return this.line.sequence;
  }

  /** Unix seconds. */
  get time(): number {
    return this.line.time;
  }

  get isError(): boolean {
    return this.line.stream === "stderr";
  }

  /** Made when it is first looked at. */
  get shown(): TerminalLine {
    this.rendered ??= renderLine(this.line.text);
    return this.rendered;
  }

  isSameAs(other: ConsoleLine): boolean {
    return this.line.text === other.text && this.line.stream === other.stream;
  }
}

export interface LogWindow {
  /** Lines with `from` ≤ sequence < `to`. */
  readonly from: number;
  readonly to: number;
}

export type AskLines = (window: LogWindow, signal: AbortSignal) => Promise<ConsoleAnswer>;

/** What is known of the log; a new object whenever something changed. */
export interface LogStatus {
  /** Lines the run has printed; null before the first answer. */
  readonly total: number | null;
  readonly nLoaded: number;
  readonly isLoading: boolean;
  /** All lines are being fetched, not only those that are looked at. */
  readonly isLoadingAll: boolean;
  readonly error: unknown;
}

export const CHUNK_LINES = 500;
/** The most that the server gives in one answer. */
export const MAX_WINDOW = 10_000;
/** Chunks kept beyond those on the screen. */
const MAX_CHUNKS = 240;
/** So many lines are fetched at most when all are asked for: about what a browser tab holds with ease. */
export const MAX_ALL = 1_000_000;
const LIVE_MS = 800;

interface Chunk {
  readonly lines: readonly (LogLine | undefined)[];
  readonly nLines: number;
  /** The round of news in which it was fetched; older than the last one means that it may have changed. */
  readonly round: number;
  /** How many lines the run had then. */
  readonly total: number;
}

const NOWHERE: LogWindow = { from: 0, to: 0 };

export class ConsoleLog {
  private readonly chunks = new Map<number, Chunk>();
  private readonly listeners = new Set<() => void>();
  private status: LogStatus = {
    total: null,
    nLoaded: 0,
    isLoading: false,
    isLoadingAll: false,
    error: undefined,
  };
  private wanted = NOWHERE;
  private round = 0;
  private totalRound = -1;
  private isOpen = false;
  private asked: { readonly window: LogWindow; readonly control: AbortController } | undefined;
  private pause: ReturnType<typeof setTimeout> | undefined;
  private hasNews = false;

  constructor(private readonly ask: AskLines) {}

  /** Starts fetching; nothing is fetched once the returned function was called. */
  open(): () => void {
    this.isOpen = true;
    this.pump();
    return () => {
      this.isOpen = false;
      clearTimeout(this.pause);
      this.pause = undefined;
      this.asked?.control.abort();
    };
  }

  readonly get = (): LogStatus => this.status;

  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  /** The line with that sequence, if it was fetched. */
  lineAt(sequence: number): LogLine | undefined {
    return this.chunks.get(Math.floor(sequence / CHUNK_LINES))?.lines[sequence % CHUNK_LINES];
  }

  /** Every line that was fetched, in order. */
  loaded(): LogLine[] {
    return this.pieces().flatMap((lines) => lines.filter((line) => line !== undefined));
  }

  /** The fetched lines in order, in pieces that stay the same objects until they are fetched again. */
  pieces(): (readonly (LogLine | undefined)[])[] {
    const indices = [...this.chunks.keys()].sort((left, right) => left - right);
    return indices.flatMap((index) => [this.chunks.get(index)?.lines ?? []]);
  }

  /** These lines are looked at; an answer on its way to lines that no longer are is not waited for. */
  want(window: LogWindow): void {
    this.wanted = window;
    const { asked } = this;
    if (asked !== undefined && !this.status.isLoadingAll && this.status.total !== null) {
      const isSeen = asked.window.from < window.to && window.from < asked.window.to;
      if (!isSeen) asked.control.abort();
    }
    this.pump();
  }

  /** The run has printed something: what is looked at is fetched again, at most about once a second. */
  markStale(): void {
    this.hasNews = true;
    if (this.pause !== undefined || !this.isOpen) return;
    this.hasNews = false;
    this.round++;
    this.retry();
    this.pause = setTimeout(() => {
      this.pause = undefined;
      if (this.hasNews) this.markStale();
    }, LIVE_MS);
  }

  /** Fetches all lines, the newest first, up to a million. */
  loadAll(): void {
    if (this.status.isLoadingAll) return;
    this.tell({ isLoadingAll: true });
    this.pump();
  }

  /** Goes on after a failure. */
  retry(): void {
    if (this.status.error !== undefined) this.tell({ error: undefined });
    this.pump();
  }

  private pump(): void {
    if (!this.isOpen || this.asked !== undefined || this.status.error !== undefined) return;
    const window = this.nextWindow();
    if (window === null) {
      if (this.status.isLoading) this.tell({ isLoading: false });
      return;
    }
    void this.fetch(window);
  }

  private async fetch(window: LogWindow): Promise<void> {
    const control = new AbortController();
    const { round } = this;
    this.asked = { window, control };
    if (!this.status.isLoading) this.tell({ isLoading: true });
    try {
      const answer = await this.ask(window, control.signal);
      this.asked = undefined;
      this.accept(window, answer, round);
    } catch (error) {
      this.asked = undefined;
      if (!control.signal.aborted) this.tell({ error, isLoading: false });
    }
    this.pump();
  }

  /** What is missing or old among the lines that are looked at; then, if all are wanted, the rest. */
  private nextWindow(): LogWindow | null {
    const { total, isLoadingAll } = this.status;
    // Any answer tells how many there are.
    if (total === null) return { from: 0, to: 1 };
    const to = Math.min(this.wanted.to, total);
    for (let index = chunkOf(this.wanted.from); index * CHUNK_LINES < to; index++) {
      if ((this.chunks.get(index)?.round ?? -1) < this.round || !this.isWhole(index)) return windowOf(index);
    }
    // Nothing on the screen is old, but how many lines there are may be.
    if (this.totalRound < this.round) return { from: Math.max(total - 1, 0), to: total + CHUNK_LINES };
    return isLoadingAll ? this.windowOfTheRest(total) : null;
  }

  /** Fetched when it had all the lines that it has now. */
  private isWhole(index: number): boolean {
    const end = Math.min((index + 1) * CHUNK_LINES, this.status.total ?? 0);
    return (this.chunks.get(index)?.total ?? -1) >= end;
  }

  private windowOfTheRest(total: number): LogWindow | null {
    const oldest = Math.max(0, total - MAX_ALL);
    const last = chunkOf(total - 1);
    for (let index = last; index >= 0 && (index + 1) * CHUNK_LINES > oldest; index--) {
      if (this.isWhole(index)) continue;
      const from = Math.max(0, (index + 1) * CHUNK_LINES - MAX_WINDOW);
      return { from, to: (index + 1) * CHUNK_LINES };
    }
    return null;
  }

  private accept(window: LogWindow, answer: ConsoleAnswer, round: number): void {
    const isFirst = this.status.total === null;
    this.totalRound = Math.max(this.totalRound, round);
    const byChunk = new Map<number, ConsoleLine[]>();
    // A window that begins inside a chunk is a look at the end, not that chunk's content.
    const first = Math.ceil(window.from / CHUNK_LINES);
    for (let at = first; at * CHUNK_LINES < window.to && !isFirst; at++) byChunk.set(at, []);
    for (const line of answer.lines) byChunk.get(chunkOf(line.sequence))?.push(line);
    for (const [index, lines] of byChunk) this.keep(index, lines, round, answer.total);
    this.forget();
    this.tell({ total: answer.total, nLoaded: this.countLoaded(), error: undefined });
  }

  /** Takes a chunk's lines; one that did not change stays the same object, so that nothing draws it again. */
  private keep(index: number, lines: readonly ConsoleLine[], round: number, total: number): void {
    const known = this.chunks.get(index)?.lines;
    const kept = new Array<LogLine | undefined>(CHUNK_LINES).fill(undefined);
    for (const line of lines) {
      const old = known?.[line.sequence % CHUNK_LINES];
      kept[line.sequence % CHUNK_LINES] = old?.isSameAs(line) === true ? old : new LogLine(line);
    }
    this.chunks.delete(index);
    this.chunks.set(index, { lines: kept, nLines: lines.length, round, total });
  }

  /** Lets go of the chunks that were fetched first, except what is looked at. */
  private forget(): void {
    if (this.status.isLoadingAll) return;
    for (const index of this.chunks.keys()) {
      if (this.chunks.size <= MAX_CHUNKS) return;
      const isSeen = index >= chunkOf(this.wanted.from) && index <= chunkOf(this.wanted.to);
      if (!isSeen) this.chunks.delete(index);
    }
  }

  private countLoaded(): number {
    let count = 0;
    for (const chunk of this.chunks.values()) count += chunk.nLines;
    return count;
  }

  private tell(change: Partial<LogStatus>): void {
    this.status = { ...this.status, ...change };
    for (const listener of [...this.listeners]) listener();
  }
}

const chunkOf = (sequence: number) => Math.floor(sequence / CHUNK_LINES);
const windowOf = (chunk: number) => ({ from: chunk * CHUNK_LINES, to: (chunk + 1) * CHUNK_LINES });
