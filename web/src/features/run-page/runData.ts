/** What the server says of one run, and what the page makes of it. */
import { isMap, type JsonMap, parseJson } from "@/base/json";
import type { RunPageResult } from "@/wire/operations.gen";

export type RunData = NonNullable<NonNullable<RunPageResult["project"]>["run"]>;

const EMPTY: JsonMap = new Map();

/** The map in a JSON text: config, summary or metadata of a run. */
export function mapIn(text: string): JsonMap {
  const value = parseJson(text);
  return isMap(value) ? value : EMPTY;
}
