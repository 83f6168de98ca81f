/** The state of a workspace, as it stands in the address. */
import type { RunOrder } from "@/data/queries";
import {
  type BoardState,
  DEFAULT_BOARD,
  parseBoard,
  type SearchParams,
  shortened,
  textOf,
  textsOf,
} from "@/panels/boardState";

export interface WorkspaceState extends BoardState {
  /** Text of the runs search. */
  readonly q: string;
  readonly order: RunOrder;
  /** Runs that are drawn by default and have been unticked. */
  readonly hide: readonly string[];
  /** Runs that are not drawn by default and have been ticked. */
  readonly show: readonly string[];
}

export const DEFAULT_WORKSPACE: WorkspaceState = {
  ...DEFAULT_BOARD,
  q: "",
  order: "-created_at",
  hide: [],
  show: [],
};

const ORDERS: readonly string[] = ["-created_at", "+created_at", "+display_name", "-heartbeat_at"];

/** Reads a workspace's state from an address; what makes no sense is as by default. */
export function parseWorkspace(search: SearchParams): WorkspaceState {
  const order = textOf(search["order"]);
  return {
    ...parseBoard(search),
    q: textOf(search["q"]),
    order: ORDERS.includes(order) ? (order as RunOrder) : "-created_at",
    hide: textsOf(search["hide"]),
    show: textsOf(search["show"]),
  };
}

/** The address's search parameters for a state. */
export function workspaceSearch(state: WorkspaceState): Partial<WorkspaceState> {
  return shortened(state, DEFAULT_WORKSPACE);
}
