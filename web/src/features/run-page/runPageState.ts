/** The state of a run's page, as it stands in the address. */
import {
  type BoardState,
  DEFAULT_BOARD,
  parseBoard,
  type SearchParams,
  shortened,
  textOf,
} from "@/panels/boardState";

export const RUN_TABS = ["overview", "charts", "system", "logs"] as const;
export type RunTab = (typeof RUN_TABS)[number];

export interface RunPageState extends BoardState {
  readonly tab: RunTab;
}

export const DEFAULT_RUN_PAGE: RunPageState = { ...DEFAULT_BOARD, tab: "overview" };

/** Reads a run page's state from an address; what makes no sense is as by default. */
export function parseRunPage(search: SearchParams): RunPageState {
  const tab = textOf(search["tab"]) as RunTab;
  return { ...parseBoard(search), tab: RUN_TABS.includes(tab) ? tab : "overview" };
}

/** The address's search parameters for a state. */
export function runPageSearch(state: RunPageState): Partial<RunPageState> {
  return shortened(state, DEFAULT_RUN_PAGE);
}
