/** The state of a board of panels, as it stands in the address: a link shows the same picture. */
import type { XAxis } from "@/wire/series";

export interface BoardState {
  /** Text of the panel search. */
  readonly panels: string;
  /** What the charts have across: "step" (or what define_metric said), "relative", "time", or "key:" and a metric. */
  readonly x: string;
  /** 0 (none) to 0.999. */
  readonly smooth: number;
  /** Ids of panels with a logarithmic y axis. */
  readonly log: readonly string[];
  /** Names of sections that are not as they are by default: open, or folded for the system section. */
  readonly fold: readonly string[];
  /** Page of each section that is not on its first. */
  readonly page: Readonly<Record<string, number>>;
  /** Range of x of each panel that is zoomed. */
  readonly zoom: Readonly<Record<string, readonly [number, number]>>;
  /** Id of the panel that fills the screen. */
  readonly full: string;
}

export const DEFAULT_BOARD: BoardState = {
  panels: "",
  x: "step",
  smooth: 0,
  log: [],
  fold: [],
  page: {},
  zoom: {},
  full: "",
};

/** The search parameters of an address, as parsed from JSON: anything at all. */
export type SearchParams = Readonly<Record<string, unknown>>;

/** Reads a board's state; whatever is missing or makes no sense is as by default. */
export function parseBoard(search: SearchParams): BoardState {
  const smooth = search["smooth"];
  return {
    panels: textOf(search["panels"]),
    x: xOf(search["x"]),
    smooth: typeof smooth === "number" && smooth >= 0 && smooth <= 0.999 ? smooth : 0,
    log: textsOf(search["log"]),
    fold: textsOf(search["fold"]),
    page: recordOf(search["page"], (value) => (typeof value === "number" ? value : undefined)),
    zoom: recordOf(search["zoom"], rangeOf),
    full: textOf(search["full"]),
  };
}

/** Returns only what differs from the defaults, so that an untouched page has a short address. */
export function shortened<State extends object>(state: State, defaults: State): Partial<State> {
  const entries = Object.entries(state).filter(
    ([name, value]) => JSON.stringify(value) !== JSON.stringify(defaults[name as keyof State]),
  );
  return Object.fromEntries(entries) as Partial<State>;
}

/** A text; a number in the address was typed as one and read as JSON. */
export function textOf(value: unknown): string {
  if (typeof value === "string") return value;
  return typeof value === "number" || typeof value === "boolean" ? String(value) : "";
}

export function textsOf(value: unknown): string[] {
  return Array.isArray(value) ? value.map(textOf).filter((text) => text !== "") : [];
}

function xOf(value: unknown): string {
  const text = textOf(value);
  return ["step", "relative", "time"].includes(text) || /^key:./.test(text) ? text : "step";
}

function rangeOf(value: unknown): [number, number] | undefined {
  if (!Array.isArray(value) || value.length !== 2) return undefined;
  const [low, high] = value as [unknown, unknown];
  return typeof low === "number" && typeof high === "number" && low < high ? [low, high] : undefined;
}

function recordOf<T>(value: unknown, read: (value: unknown) => T | undefined): Record<string, T> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return {};
  const entries = Object.entries(value).flatMap(([name, each]) => {
    const found = read(each);
    return found === undefined ? [] : [[name, found] as const];
  });
  return Object.fromEntries(entries);
}

/** The x axis that a choice means for the data plane. */
export function xAxisOf(choice: string): XAxis {
  if (choice.startsWith("key:")) return { key: choice.slice(4) };
  return choice === "relative" || choice === "time" ? choice : "step";
}
