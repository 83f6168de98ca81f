import { afterEach, beforeEach, expect, test, vi } from "vitest";

import type { Series, SeriesAnswer, SeriesQuery } from "@/wire/series";

import { type SeriesFeed, type SeriesQuestion, SeriesStore } from "./seriesStore";

/** A server that answers every series with one point, whose value counts the answers. */
class FakeServer {
  readonly requests: (readonly SeriesQuery[])[] = [];
  /** Queries that name this key are refused, and so is a request that holds one. */
  refusedKey = "";
  isDown = false;
  private nAnswers = 0;

  readonly ask = async (queries: readonly SeriesQuery[]): Promise<SeriesAnswer[]> => {
    this.requests.push(queries);
    await Promise.resolve();
    if (this.isDown) throw Object.assign(new Error("no answer"), { status: 0 });
    if (queries.some((query) => query.keys.includes(this.refusedKey))) {
      throw Object.assign(new Error("refused"), { status: 400 });
    }
    this.nAnswers += 1;
    return queries.map(({ runs, keys }) => ({
      series: runs.flatMap((run) => keys.map((key) => series(run, key, this.nAnswers))),
    }));
  };
}

function series(run: string, key: string, value: number): Series {
  const one = Float64Array.of(value);
  const none = Int32Array.of(0);
  return {
    run,
    key,
    nPoints: 1,
    isExact: true,
    lastStep: 0,
    buckets: {
      x: one,
      xLast: one,
      first: one,
      last: one,
      low: one,
      high: one,
      mean: one,
      nPoints: Int32Array.of(1),
      nNan: none,
      nPosInf: none,
      nNegInf: none,
    },
  };
}

function question(
  key: string,
  runs: readonly string[],
  change: Partial<SeriesQuestion> = {},
): SeriesQuestion {
  return { stream: "history", keys: [key], runs, x: "step", range: null, buckets: 320, ...change };
}

function shown(feed: SeriesFeed): string[] {
  return feed.get().series.map(({ run, key, buckets }) => `${run} ${key} ${buckets.mean[0] ?? "-"}`);
}

let server: FakeServer;
let store: SeriesStore;

beforeEach(() => {
  vi.useFakeTimers();
  server = new FakeServer();
  store = new SeriesStore(server.ask, () => Date.now());
});

afterEach(() => {
  vi.useRealTimers();
});

test("panels that come in the same moment share one request, and one query if they show the same runs", async () => {
  const feeds = ["loss", "accuracy", "lr"].map((key) => {
    const feed = store.open();
    feed.setQuestion(question(key, ["a", "b"]));
    return feed;
  });
  await vi.advanceTimersByTimeAsync(20);

  expect(server.requests).toHaveLength(1);
  expect(server.requests[0]?.map(({ keys, runs }) => ({ keys, runs }))).toEqual([
    { keys: ["loss", "accuracy", "lr"], runs: ["a", "b"] },
  ]);
  expect(feeds.map(shown)).toEqual([
    ["a loss 1", "b loss 1"],
    ["a accuracy 1", "b accuracy 1"],
    ["a lr 1", "b lr 1"],
  ]);
});

test("a run with something new is fetched again, and the others are not", async () => {
  const feed = store.open();
  feed.setQuestion(question("loss", ["a", "b"]));
  await vi.advanceTimersByTimeAsync(20);

  store.markStale("b", "history");
  await vi.advanceTimersByTimeAsync(2000);

  expect(server.requests.slice(1).map((queries) => queries.map(({ runs }) => runs))).toEqual([[["b"]]]);
  expect(shown(feed)).toEqual(["a loss 1", "b loss 2"]);
});

test("a run that logs all the time is fetched at most once a second", async () => {
  const feed = store.open();
  feed.setQuestion(question("loss", ["a"]));
  await vi.advanceTimersByTimeAsync(20);

  for (let i = 0; i < 50; i++) {
    store.markStale("a", "history");
    await vi.advanceTimersByTimeAsync(100);
  }

  expect(server.requests.length).toBeLessThanOrEqual(7);
  expect(server.requests.length).toBeGreaterThanOrEqual(5);
});

test("the last picture stays until the answer to the newest question is there", async () => {
  const feed = store.open();
  feed.setQuestion(question("loss", ["a"]));
  await vi.advanceTimersByTimeAsync(20);

  feed.setQuestion(question("loss", ["a"], { range: [10, 20] }));

  expect(shown(feed)).toEqual(["a loss 1"]);
  expect(feed.get().isLoading).toBe(true);
  await vi.advanceTimersByTimeAsync(20);
  expect(shown(feed)).toEqual(["a loss 2"]);
  expect(feed.get().isLoading).toBe(false);
});

test("a question that was answered before is shown at once, without a request", async () => {
  const feed = store.open();
  feed.setQuestion(question("loss", ["a"]));
  await vi.advanceTimersByTimeAsync(20);
  feed.setQuestion(question("loss", ["a"], { range: [10, 20] }));
  await vi.advanceTimersByTimeAsync(20);

  feed.setQuestion(question("loss", ["a"]));
  await vi.advanceTimersByTimeAsync(2000);

  expect(shown(feed)).toEqual(["a loss 1"]);
  expect(server.requests).toHaveLength(2);
});

test("one refused panel fails alone", async () => {
  server.refusedKey = "bad";
  const good = store.open();
  const bad = store.open();
  good.setQuestion(question("good", ["a"]));
  bad.setQuestion(question("bad", ["a", "b"]));
  await vi.advanceTimersByTimeAsync(50);

  expect(good.get().error).toBeUndefined();
  expect(shown(good)).toHaveLength(1);
  expect(bad.get().error).toBeInstanceOf(Error);
});

test("a panel that failed shows its series after a retry", async () => {
  server.isDown = true;
  const feed = store.open();
  feed.setQuestion(question("loss", ["a"]));
  await vi.advanceTimersByTimeAsync(20);
  expect(feed.get().error).toBeInstanceOf(Error);

  server.isDown = false;
  feed.retry();
  await vi.advanceTimersByTimeAsync(20);

  expect(feed.get().error).toBeUndefined();
  expect(shown(feed)).toEqual(["a loss 1"]);
});

test("what changes while it is being fetched is fetched once more", async () => {
  const feed = store.open();
  feed.setQuestion(question("loss", ["a"]));
  await vi.advanceTimersByTimeAsync(8);
  store.markStale("a", "history");
  await vi.advanceTimersByTimeAsync(3000);

  expect(server.requests).toHaveLength(2);
  expect(shown(feed)).toEqual(["a loss 2"]);
});

test("a hidden page fetches nothing and catches up when it is seen again", async () => {
  const feed = store.open();
  feed.setQuestion(question("loss", ["a"]));
  await vi.advanceTimersByTimeAsync(20);

  store.setPaused(true);
  store.markStale("a", "history");
  await vi.advanceTimersByTimeAsync(5000);
  expect(server.requests).toHaveLength(1);

  store.setPaused(false);
  await vi.advanceTimersByTimeAsync(20);
  expect(shown(feed)).toEqual(["a loss 2"]);
});

test("a series that nobody shows any more is not fetched when its run logs", async () => {
  const feed = store.open();
  feed.setQuestion(question("loss", ["a"]));
  await vi.advanceTimersByTimeAsync(20);

  feed.close();
  store.markStale("a", "history");
  await vi.advanceTimersByTimeAsync(5000);

  expect(server.requests).toHaveLength(1);
});

test("steps are never drawn over an axis of time: the last picture keeps its own until the answer is there", async () => {
  const feed = store.open();
  feed.setQuestion(question("loss", ["a"]));
  await vi.advanceTimersByTimeAsync(20);

  feed.setQuestion(question("loss", ["a"], { x: "time" }));
  expect({ x: feed.get().x, shown: shown(feed) }).toEqual({ x: "step", shown: ["a loss 1"] });

  await vi.advanceTimersByTimeAsync(20);
  expect({ x: feed.get().x, shown: shown(feed) }).toEqual({ x: "time", shown: ["a loss 2"] });
});
