import { beforeEach, describe, expect, test, vi } from "vitest";

import type { ConsoleAnswer, ConsoleLine } from "@/wire/client";

import { ConsoleLog, type LogWindow } from "./consoleLog";

/** A server with a log of its own: the fake stands behind the contract of GET /api/console. */
class Server {
  readonly asked: LogWindow[] = [];
  readonly lines: ConsoleLine[] = [];
  failure: Error | null = null;

  print(count: number): void {
    for (let i = 0; i < count; i++) {
      const sequence = this.lines.length;
      this.lines.push({ sequence, time: sequence, stream: "stdout", text: `line ${sequence}` });
    }
  }

  readonly answer = (window: LogWindow, signal: AbortSignal): Promise<ConsoleAnswer> => {
    this.asked.push(window);
    return new Promise((resolve, reject) => {
      signal.addEventListener("abort", () => reject(new DOMException("", "AbortError")));
      queueMicrotask(() => {
        if (this.failure !== null) reject(this.failure);
        const lines = this.lines.slice(window.from, window.to);
        resolve({ lines, next: window.from + lines.length, total: this.lines.length });
      });
    });
  };
}

let server: Server;
let log: ConsoleLog;
const settled = () => vi.advanceTimersByTimeAsync(0);
const nextSecond = () => vi.advanceTimersByTimeAsync(1000);
const textAt = (sequence: number) => log.lineAt(sequence)?.shown.text;

beforeEach(() => {
  vi.useFakeTimers();
  server = new Server();
  log = new ConsoleLog(server.answer);
});

describe("a console log", () => {
  test("of nothing is empty, not loading for ever", async () => {
    log.open();
    await settled();
    expect(log.get()).toMatchObject({ total: 0, isLoading: false, error: undefined });
  });

  test("of a million lines fetches what is looked at", async () => {
    server.print(1_000_000);
    log.open();
    log.want({ from: 999_950, to: 1_000_000 });
    await settled();
    expect(textAt(999_999)).toBe("line 999999");
    const nAsked = server.asked.reduce((sum, { from, to }) => sum + to - from, 0);
    expect(nAsked).toBeLessThanOrEqual(1001);
  });

  test("does not wait for lines that were scrolled past", async () => {
    server.print(100_000);
    log.open();
    await settled();
    log.want({ from: 0, to: 50 });
    log.want({ from: 50_000, to: 50_050 });
    await settled();
    expect(textAt(50_000)).toBe("line 50000");
    expect(textAt(0)).toBeUndefined();
  });

  test("shows new lines, and what became of one that was not finished", async () => {
    server.print(600);
    log.open();
    log.want({ from: 550, to: 700 });
    await settled();
    const kept = log.lineAt(560);
    server.lines[599] = { sequence: 599, time: 0, stream: "stdout", text: "0%\r100%" };
    server.print(20);
    log.markStale();
    await nextSecond();
    expect(log.get().total).toBe(620);
    expect(textAt(599)).toBe("100%");
    expect(textAt(619)).toBe("line 619");
    expect(log.lineAt(560)).toBe(kept);
  });

  test("hears of new lines while it looks elsewhere", async () => {
    server.print(2000);
    log.open();
    log.want({ from: 0, to: 50 });
    await settled();
    server.print(500);
    log.markStale();
    await nextSecond();
    expect(log.get().total).toBe(2500);
  });

  test("asks about once a second, however often the run prints", async () => {
    server.print(10);
    log.open();
    log.want({ from: 0, to: 50 });
    await settled();
    const before = server.asked.length;
    for (let i = 0; i < 100; i++) {
      server.print(1);
      log.markStale();
      await vi.advanceTimersByTimeAsync(20);
    }
    await nextSecond();
    expect(server.asked.length - before).toBeLessThanOrEqual(5);
    expect(log.get().total).toBe(110);
    expect(textAt(109)).toBe("line 109");
  });

  test("can be fetched whole, also while it grows", async () => {
    server.print(25_300);
    log.open();
    log.want({ from: 25_000, to: 25_300 });
    log.loadAll();
    await settled();
    expect(log.get().nLoaded).toBe(25_300);
    server.print(1000);
    log.want({ from: 0, to: 50 });
    log.markStale();
    await nextSecond();
    expect(log.loaded().map((line) => line.sequence)).toEqual([...Array(26_300).keys()]);
  });

  test("lets go of lines seen long ago", async () => {
    server.print(1_000_000);
    log.open();
    for (let from = 0; from < 1_000_000; from += 2500) {
      log.want({ from, to: from + 50 });
      await settled();
    }
    expect(log.get().nLoaded).toBeLessThanOrEqual(130_000);
    expect(textAt(997_500)).toBe("line 997500");
  });

  test("a failure keeps the lines, and goes on when asked to or when there is news", async () => {
    server.print(100);
    log.open();
    log.want({ from: 0, to: 100 });
    await settled();
    server.failure = new Error("gone");
    log.markStale();
    await nextSecond();
    expect(log.get().error).toBe(server.failure);
    expect(textAt(0)).toBe("line 0");
    server.failure = null;
    log.retry();
    await settled();
    expect(log.get().error).toBeUndefined();
  });

  test("fetches nothing once it is closed", async () => {
    server.print(100);
    const close = log.open();
    await settled();
    close();
    const before = server.asked.length;
    log.want({ from: 0, to: 100 });
    log.markStale();
    await nextSecond();
    expect(server.asked.length).toBe(before);
  });
});
