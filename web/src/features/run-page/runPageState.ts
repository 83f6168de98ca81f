/** The state of a run's page, as it stands in the address. */
import {
  type BoardState,
  DEFAULT_BOARD,
  parseBoard,
  type SearchParams,
  shortened,
  textOf,
  textsOf,
} from "@/panels/boardState";

export const RUN_TABS = ["overview", "charts", "system", "logs"] as const;
export type RunTab = (typeof RUN_TABS)[number];

export interface RunPageState {
  readonly tab: RunTab;
  /** Texts of the searches on the overview. */
  readonly config: string;
  readonly summary: string;
  readonly packages: string;
  /** Branches and long values that are not as they are by default, as `config:model.layers`. */
  readonly toggled: readonly string[];
  readonly charts: BoardState;
  readonly system: BoardState;
  readonly logs: LogState;
}

export interface LogState {
  /** Text of the search. */
  readonly find: string;
  /** Show only the lines that match. */
  readonly only: boolean;
  readonly times: boolean;
  readonly wrap: boolean;
  /** The line that the address points at, counted from 1; 0 for none. */
  readonly line: number;
}

const DEFAULT_LOGS: LogState = { find: "", only: false, times: false, wrap: false, line: 0 };
/** Hardware is read beside a clock, and the parts of the log that matter are the moments before an end. */
const DEFAULT_SYSTEM: BoardState = { ...DEFAULT_BOARD, x: "relative" };

export const DEFAULT_RUN_PAGE: RunPageState = {
  tab: "overview",
  config: "",
  summary: "",
  packages: "",
  toggled: [],
  charts: DEFAULT_BOARD,
  system: DEFAULT_SYSTEM,
  logs: DEFAULT_LOGS,
};

/** What stands in the address: of the parts, too, only what is not as by default. */
export interface RunPageSearch {
  readonly tab?: RunTab;
  readonly config?: string;
  readonly summary?: string;
  readonly packages?: string;
  readonly toggled?: readonly string[];
  readonly charts?: Partial<BoardState>;
  readonly system?: Partial<BoardState>;
  readonly logs?: Partial<LogState>;
}

/** Reads the state of the page; whatever is missing or makes no sense is as by default. */
export function parseRunPage(search: SearchParams): RunPageState {
  return {
    tab: RUN_TABS.find((tab) => tab === search["tab"]) ?? "overview",
    config: textOf(search["config"]),
    summary: textOf(search["summary"]),
    packages: textOf(search["packages"]),
    toggled: textsOf(search["toggled"]),
    charts: parseBoard({ ...DEFAULT_BOARD, ...recordOf(search["charts"]) }),
    system: parseBoard({ ...DEFAULT_SYSTEM, ...recordOf(search["system"]) }),
    logs: parseLogs(recordOf(search["logs"])),
  };
}

/** Returns what differs from the defaults. */
export function runPageSearch(state: RunPageState): RunPageSearch {
  return shortened<object>(
    {
      ...state,
      charts: shortened(state.charts, DEFAULT_BOARD),
      system: shortened(state.system, DEFAULT_SYSTEM),
      logs: shortened(state.logs, DEFAULT_LOGS),
    },
    { ...DEFAULT_RUN_PAGE, charts: {}, system: {}, logs: {} },
  );
}

function parseLogs(search: SearchParams): LogState {
  const { line } = search;
  return {
    find: textOf(search["find"]),
    only: search["only"] === true,
    times: search["times"] === true,
    wrap: search["wrap"] === true,
    line: typeof line === "number" && Number.isInteger(line) && line > 0 ? line : 0,
  };
}

function recordOf(value: unknown): SearchParams {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as SearchParams) : {};
}
