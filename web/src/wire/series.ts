/** The data plane's series, as they come over the wire: Arrow columns of buckets. */
import { type Table, tableFromIPC } from "@uwdata/flechette";

export type Stream = "history" | "system";

/** What a chart has across: the step, a time, or another metric of the same row. */
export type XAxis = "step" | "time" | "relative" | { readonly key: string };

export interface SeriesQuery {
  readonly runs: readonly string[];
  readonly keys: readonly string[];
  readonly stream: Stream;
  readonly x: XAxis;
  /** Both ends included, in units of x; null for everything. */
  readonly range: readonly [number, number] | null;
  /** At most so many per series, 1 to 20,000. */
  readonly buckets: number;
}

export interface SeriesRequest {
  readonly entity: string;
  readonly project: string;
  readonly queries: readonly SeriesQuery[];
}

/**
 * One series in buckets, sorted by x.  Every array has one entry per bucket; `low`, `high` and
 * `mean` are over the finite points (NaN where there are none).
 */
export interface Buckets {
  readonly x: Float64Array;
  readonly xLast: Float64Array;
  readonly first: Float64Array;
  readonly last: Float64Array;
  readonly low: Float64Array;
  readonly high: Float64Array;
  readonly mean: Float64Array;
  readonly nPoints: Int32Array;
  readonly nNan: Int32Array;
  readonly nPosInf: Int32Array;
  readonly nNegInf: Int32Array;
}

export interface Series {
  readonly run: string;
  readonly key: string;
  /** Points of the whole series in range. */
  readonly nPoints: number;
  /** Every bucket is one raw point. */
  readonly isExact: boolean;
  readonly lastStep: number | null;
  readonly buckets: Buckets;
}

export interface SeriesAnswer {
  readonly series: readonly Series[];
}

interface SeriesHead {
  readonly run: string;
  readonly key: string;
  readonly n_points: number;
  readonly exact: boolean;
  readonly last_step: number | null;
}

interface Head {
  readonly queries: readonly { readonly series: readonly SeriesHead[] }[];
}

/**
 * Returns the answers of an Arrow IPC stream, one for each query, in order: one record batch each,
 * whose rows are sorted by the index of their series.
 */
export function decodeSeries(bytes: ArrayBuffer): SeriesAnswer[] {
  const table = tableFromIPC(bytes);
  const text = table.schema.metadata?.get("epochal");
  if (text === undefined) throw new Error("The answer of /api/series has no head.");
  const { queries } = JSON.parse(text) as Head;
  return queries.map(({ series }, batch) => {
    const owner = batchValues(table, "series", batch) as Int32Array;
    return {
      series: series.map((head, index) => {
        const from = lowerBound(owner, index);
        const to = lowerBound(owner, index + 1);
        return seriesOf(head, (name) => batchValues(table, name, batch).subarray(from, to));
      }),
    };
  });
}

function seriesOf(head: SeriesHead, column: (name: string) => Float64Array | Int32Array): Series {
  const floats = (name: string) => column(name) as Float64Array;
  const counts = (name: string) => column(name) as Int32Array;
  return {
    run: head.run,
    key: head.key,
    nPoints: head.n_points,
    isExact: head.exact,
    lastStep: head.last_step,
    buckets: {
      x: floats("x"),
      xLast: floats("x_last"),
      first: floats("first"),
      last: floats("last"),
      low: floats("low"),
      high: floats("high"),
      mean: floats("mean"),
      nPoints: counts("n_points"),
      nNan: counts("n_nan"),
      nPosInf: counts("n_posinf"),
      nNegInf: counts("n_neginf"),
    },
  };
}

/** The values of one column in one record batch, without a copy. */
function batchValues(table: Table, name: string, batch: number): Float64Array | Int32Array {
  const data = table.getChild(name).data[batch];
  if (data === undefined) throw new Error(`The answer of /api/series lacks batch ${batch}.`);
  const { values } = data as unknown as { readonly values: Float64Array | Int32Array };
  return values.subarray(0, data.length);
}

/** The first place in a sorted column whose value is at least `value`. */
function lowerBound(column: Int32Array, value: number): number {
  let low = 0;
  let high = column.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((column[middle] ?? 0) < value) low = middle + 1;
    else high = middle;
  }
  return low;
}
