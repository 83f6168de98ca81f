/** Nested values as the rows of a tree: what is folded is left out, what is searched for is open. */
import { formatCount, formatValue } from "@/base/format";
import { isList, isMap, type JsonMap, JsonNumber, type JsonValue, writeJson } from "@/base/json";
import type { Search } from "@/base/search";

export interface TreeRow {
  /** Where the value is: keys joined with dots, as a metric or a config key is written. */
  readonly path: string;
  readonly depth: number;
  /** The last key of the path. */
  readonly name: string;
  readonly value: JsonValue;
  /** Values below it; 0 for a leaf. */
  readonly nInside: number;
  readonly isOpen: boolean;
}

/** Trees with at most so many values are open at first. */
const MAX_OPEN_AT_FIRST = 300;
/** A leaf's text beyond this is cut, until the row is opened. */
export const LONG_VALUE = 64;

interface Options {
  readonly search: Search;
  /** Whether the search box is empty. */
  readonly isEverything: boolean;
  /** Paths that are not as by default. */
  readonly toggled: ReadonlySet<string>;
}

/** Returns the rows to show, from top to bottom; while searching, of every branch only what matches. */
export function treeRows(root: JsonMap, { search, isEverything, toggled }: Options): TreeRow[] {
  const rows: TreeRow[] = [];
  const isOpenAtFirst = countLeaves(root) <= MAX_OPEN_AT_FIRST;
  const add = (name: string, value: JsonValue, prefix: string, depth: number): boolean => {
    const path = prefix === "" ? name : `${prefix}.${name}`;
    const children = childrenOf(value);
    const isToggled = toggled.has(path);
    const at = rows.length;
    if (children === null) {
      if (!isEverything && !search.matches(path) && !search.matches(leafText(value))) return false;
      rows.push({ path, depth, name, value, nInside: 0, isOpen: isToggled });
      return true;
    }
    const isOpen = !isEverything || isToggled !== isOpenAtFirst;
    rows.push({ path, depth, name, value, nInside: children.length, isOpen });
    let isFound = isEverything;
    if (isOpen) for (const [key, child] of children) isFound = add(key, child, path, depth + 1) || isFound;
    if (!isFound) rows.length = at;
    return isFound;
  };
  for (const [name, value] of root) add(name, value, "", 0);
  return rows;
}

/** How many values a tree holds, however deep. */
export function countLeaves(value: JsonValue): number {
  const children = childrenOf(value);
  return children === null ? 1 : children.reduce((sum, [, child]) => sum + countLeaves(child), 0);
}

/** What can be unfolded: maps, and lists that hold maps or lists; a logged object (`_type`) is one value. */
function childrenOf(value: JsonValue): readonly (readonly [string, JsonValue])[] | null {
  if (value === null || typeof value !== "object" || value instanceof JsonNumber) return null;
  if (isMap(value)) return value.size === 0 || value.has("_type") ? null : [...value];
  if (!value.some((item) => isMap(item) || isList(item))) return null;
  return value.map((item, index) => [String(index), item] as const);
}

/** A leaf on one line, as it is read: numbers with four significant digits, whole numbers in full. */
export function leafText(value: JsonValue): string {
  if (value instanceof JsonNumber) return numberText(value);
  if (typeof value === "string") return value;
  if (value === null || typeof value === "boolean") return String(value);
  if (isMap(value)) return value.size === 0 ? "{}" : objectText(value);
  return `[${value.map(leafText).join(", ")}]`;
}

/** A leaf as it is copied: nothing rounded, nothing cut. */
export function fullText(value: JsonValue): string {
  return typeof value === "string" ? value : writeJson(value);
}

function numberText(number: JsonNumber): string {
  return number.isInteger ? number.text.replace("-", "−") : formatValue(number.value);
}

/** A logged object in a few words: "histogram of 64 bins", "image-file media/a.png". */
function objectText(object: JsonMap): string {
  const type = object.get("_type");
  const kind = typeof type === "string" ? type : "object";
  const values = object.get("values");
  if (kind === "histogram" && values !== undefined && isList(values)) {
    return `histogram of ${formatCount(values.length)} bins`;
  }
  const path = object.get("path");
  return typeof path === "string" ? `${kind} ${path}` : kind;
}

/** The word for a leaf's kind, which decides how it is drawn. */
export function leafKind(value: JsonValue): "number" | "text" | "word" | "other" {
  if (value instanceof JsonNumber) return "number";
  if (typeof value === "string") return "text";
  return value === null || typeof value === "boolean" ? "word" : "other";
}

/** Whether a leaf has more to say than fits its row. */
export function isLong(value: JsonValue): boolean {
  if (value instanceof JsonNumber) return false;
  if (value !== null && typeof value === "object" && isMap(value) && value.has("_type")) return true;
  const text = leafText(value);
  return text.length > LONG_VALUE || text.includes("\n");
}
