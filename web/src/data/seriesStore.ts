/**
 * The series of a project that are on the page: each fetched once whoever shows it, many in one
 * request, and fetched again only where a run has something new.
 *
 * The last picture stays: a feed keeps showing what it had, line by line, until the answer to the
 * newest question is there.
 */
import type { Series, SeriesAnswer, SeriesQuery, Stream, XAxis } from "@/wire/series";

/** What one panel shows: every key of every run, over one range of x. */
export interface SeriesQuestion {
  readonly stream: Stream;
  readonly keys: readonly string[];
  readonly runs: readonly string[];
  readonly x: XAxis;
  readonly range: readonly [number, number] | null;
  readonly buckets: number;
}

/** What a panel can draw now. */
export interface Picture {
  /** In the order of the question's runs, then keys; a series that has not arrived yet is left out. */
  readonly series: readonly Series[];
  /** What these series have across: the question's x axis, or the last one's until the answer is there. */
  readonly x: XAxis;
  /** The first answer to this question is still on its way. */
  readonly isLoading: boolean;
  readonly error: unknown;
}

export type Ask = (queries: readonly SeriesQuery[]) => Promise<SeriesAnswer[]>;

/** One series at one resolution. */
interface Entry {
  readonly run: string;
  readonly key: string;
  readonly question: Omit<SeriesQuestion, "keys" | "runs">;
  /** What is shared by all entries that can be asked for in one query. */
  readonly shape: string;
  readonly feeds: Set<SeriesFeed>;
  series: Series | undefined;
  error: unknown;
  /** Something new was logged since it was asked for. */
  isStale: boolean;
  isAsked: boolean;
}

/** Panels that mount in the same moment share a request. */
const GATHER_MS = 8;
/** A live series is fetched at most so often. */
const LIVE_MS = 1000;
/** Buckets kept for series that nobody shows at the moment; 11 numbers each. */
const MAX_IDLE_BUCKETS = 400_000;

export class SeriesStore {
  private readonly entries = new Map<string, Entry>();
  private readonly dirty = new Set<Entry>();
  private timer: ReturnType<typeof setTimeout> | undefined;
  private dueAt = Infinity;
  private lastLiveAt = -Infinity;
  private isPaused = false;

  constructor(
    private readonly ask: Ask,
    private readonly now: () => number,
  ) {}

  /** Opens a feed: a picture that follows its question and the live changes until it is closed. */
  open(): SeriesFeed {
    return new SeriesFeed(this);
  }

  /** A run has new points: its series on the page are fetched again, the others when they are next shown. */
  markStale(run: string | null, stream: Stream | null): void {
    for (const entry of this.entries.values()) {
      if (run !== null && entry.run !== run) continue;
      if (stream !== null && entry.question.stream !== stream) continue;
      entry.isStale = true;
      if (entry.feeds.size > 0) this.dirty.add(entry);
    }
    if (this.dirty.size > 0) this.schedule(Math.max(this.lastLiveAt + LIVE_MS, this.now() + GATHER_MS));
  }

  /** A hidden tab fetches nothing; what it missed is fetched when it is seen again. */
  setPaused(isPaused: boolean): void {
    this.isPaused = isPaused;
    if (!isPaused && this.dirty.size > 0) this.schedule(this.now());
  }

  /** The entries of a question, in its order; asked for where they are missing or old. */
  watch(question: SeriesQuestion, feed: SeriesFeed): Entry[] {
    const { keys, runs, ...rest } = question;
    const shape = JSON.stringify([rest.stream, rest.x, rest.range, rest.buckets]);
    const found: Entry[] = [];
    for (const run of runs) {
      for (const key of keys) {
        const id = `${shape}\n${run}\n${key}`;
        const entry = this.entries.get(id) ?? newEntry(run, key, rest, shape);
        // Set anew, so that the map's order is the order of last use.
        this.entries.delete(id);
        this.entries.set(id, entry);
        entry.feeds.add(feed);
        if (entry.isStale) this.dirty.add(entry);
        found.push(entry);
      }
    }
    if (this.dirty.size > 0) this.schedule(this.now() + GATHER_MS);
    return found;
  }

  unwatch(entries: readonly Entry[], feed: SeriesFeed): void {
    for (const entry of entries) {
      entry.feeds.delete(feed);
      if (entry.feeds.size === 0) this.dirty.delete(entry);
    }
    this.forget();
  }

  /** Asks again for what failed. */
  retry(entries: readonly Entry[]): void {
    for (const entry of entries) {
      if (entry.error === undefined) continue;
      entry.error = undefined;
      entry.isStale = true;
      this.dirty.add(entry);
    }
    this.schedule(this.now());
  }

  private schedule(at: number): void {
    if (this.isPaused || at >= this.dueAt) return;
    clearTimeout(this.timer);
    this.dueAt = at;
    this.timer = setTimeout(() => void this.flush(), Math.max(at - this.now(), 0));
  }

  private async flush(): Promise<void> {
    this.dueAt = Infinity;
    if (this.isPaused) return;
    // An entry that is on its way stays dirty, and is asked for again once its answer is there.
    const batch = [...this.dirty].filter((entry) => !entry.isAsked && entry.feeds.size > 0);
    if (batch.length === 0) return;
    for (const entry of batch) {
      this.dirty.delete(entry);
      entry.isStale = false;
      entry.isAsked = true;
    }
    this.lastLiveAt = this.now();
    await this.fetch(queriesFor(batch));
    if (this.dirty.size > 0) this.schedule(this.lastLiveAt + LIVE_MS);
  }

  /** One request for all queries; if it is refused, each by itself, so that only the guilty one fails. */
  private async fetch(asked: readonly AskedQuery[]): Promise<void> {
    try {
      const answers = await this.ask(asked.map(({ query }) => query));
      asked.forEach((each, index) => settle(each.entries, answers[index]));
    } catch (error) {
      const isRefused = ((error as { status?: number }).status ?? 0) >= 400;
      if (asked.length > 1 && isRefused) {
        await Promise.all(asked.map((each) => this.fetch([each])));
        return;
      }
      for (const entry of asked.flatMap((each) => each.entries)) {
        entry.error = error;
        entry.isAsked = false;
        entry.isStale = true;
      }
    }
    const feeds = new Set(asked.flatMap((each) => each.entries.flatMap((entry) => [...entry.feeds])));
    for (const feed of feeds) feed.refresh();
  }

  /** Lets go of the series that were not shown for longest. */
  private forget(): void {
    let idle = 0;
    for (const entry of this.entries.values()) if (entry.feeds.size === 0) idle += sizeOf(entry);
    for (const [id, entry] of this.entries) {
      if (idle <= MAX_IDLE_BUCKETS) return;
      if (entry.feeds.size > 0) continue;
      idle -= sizeOf(entry);
      this.entries.delete(id);
    }
  }
}

function newEntry(run: string, key: string, question: Entry["question"], shape: string): Entry {
  return {
    run,
    key,
    question,
    shape,
    feeds: new Set(),
    series: undefined,
    error: undefined,
    isStale: true,
    isAsked: false,
  };
}

function sizeOf(entry: Entry): number {
  return (entry.series?.buckets.x.length ?? 0) + 1;
}

interface AskedQuery {
  readonly query: SeriesQuery;
  readonly entries: readonly Entry[];
}

/** As few queries as cover the entries: those of one shape whose keys are wanted of the same runs. */
function queriesFor(batch: readonly Entry[]): AskedQuery[] {
  const byShapeAndKey = groupBy(batch, (entry) => `${entry.shape}\n${entry.key}`);
  const byRuns = groupBy(
    [...byShapeAndKey.values()],
    (entries) => `${entries[0]?.shape ?? ""}\n${entries.map((entry) => entry.run).join("\n")}`,
  );
  return [...byRuns.values()].flatMap((groups) => {
    const first = groups[0]?.[0];
    if (first === undefined || groups[0] === undefined) return [];
    const keys = groups.flatMap((entries) => entries[0]?.key ?? []);
    const runs = groups[0].map((entry) => entry.run);
    return [{ query: { ...first.question, keys, runs }, entries: groups.flat() }];
  });
}

function groupBy<T>(items: readonly T[], keyOf: (item: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const item of items) {
    const key = keyOf(item);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [item]);
    else group.push(item);
  }
  return groups;
}

function settle(entries: readonly Entry[], answer: SeriesAnswer | undefined): void {
  const found = new Map(answer?.series.map((series) => [`${series.run}\n${series.key}`, series]));
  for (const entry of entries) {
    entry.series = found.get(`${entry.run}\n${entry.key}`) ?? noPoints(entry);
    entry.error = undefined;
    entry.isAsked = false;
  }
}

/** The answer for a run that never logged the key. */
function noPoints({ run, key }: Entry): Series {
  const floats = new Float64Array(0);
  const counts = new Int32Array(0);
  return {
    run,
    key,
    nPoints: 0,
    isExact: true,
    lastStep: null,
    buckets: {
      x: floats,
      xLast: floats,
      first: floats,
      last: floats,
      low: floats,
      high: floats,
      mean: floats,
      nPoints: counts,
      nNan: counts,
      nPosInf: counts,
      nNegInf: counts,
    },
  };
}

/** A server that does not answer for a moment spoils no picture: the page says elsewhere that it is not live. */
function isFailure({ error, series }: Entry): boolean {
  const isUnreachable = (error as { status?: number } | undefined)?.status === 0;
  return error !== undefined && !(isUnreachable && series !== undefined);
}

const NOTHING: Picture = { series: [], x: "step", isLoading: true, error: undefined };

/** What one panel shows: set the question, read the picture, listen for new ones. */
export class SeriesFeed {
  private entries: readonly Entry[] = [];
  private asked = "";
  private x: XAxis = "step";
  private picture: Picture = NOTHING;
  private readonly listeners = new Set<() => void>();

  constructor(private readonly store: SeriesStore) {}

  /** Asks another question; the picture stays until the answer is there. */
  setQuestion(question: SeriesQuestion): void {
    const asked = JSON.stringify(question);
    if (asked === this.asked) return;
    this.asked = asked;
    this.x = question.x;
    const before = this.entries;
    this.entries = this.store.watch(question, this);
    const kept = new Set(this.entries);
    this.store.unwatch(
      before.filter((entry) => !kept.has(entry)),
      this,
    );
    this.refresh();
  }

  /** Fetches nothing more; the picture stays readable. */
  close(): void {
    this.store.unwatch(this.entries, this);
    this.entries = [];
    this.asked = "";
  }

  retry(): void {
    this.store.retry(this.entries);
    this.refresh();
  }

  readonly get = (): Picture => this.picture;

  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  /** Makes a new picture out of what is there now. */
  refresh(): void {
    const last = this.picture;
    const { series, x } = this.drawable();
    const isLoading = this.entries.some((entry) => entry.series === undefined && entry.error === undefined);
    const error = this.entries.find(isFailure)?.error;
    const isSame =
      last.isLoading === isLoading &&
      last.error === error &&
      last.x === x &&
      last.series.length === series.length &&
      last.series.every((each, index) => each === series[index]);
    if (isSame) return;
    this.picture = { series, x, isLoading, error };
    for (const listener of [...this.listeners]) listener();
  }

  /** The newest answer to each series, or what was drawn for it before: but never over another x axis. */
  private drawable(): Pick<Picture, "series" | "x"> {
    const last = this.picture;
    const isSameAxis = JSON.stringify(last.x) === JSON.stringify(this.x);
    const hasAnswer = this.entries.some((entry) => entry.series !== undefined);
    if (!isSameAxis && !hasAnswer && this.entries.length > 0) return last;
    const before = new Map(
      isSameAxis ? last.series.map((series) => [`${series.run}\n${series.key}`, series]) : [],
    );
    const series = this.entries.flatMap(
      (entry) => entry.series ?? before.get(`${entry.run}\n${entry.key}`) ?? [],
    );
    return { series, x: isSameAxis ? last.x : this.x };
  }
}
