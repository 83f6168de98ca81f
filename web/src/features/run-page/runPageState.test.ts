import { describe, expect, test } from "vitest";

import { DEFAULT_RUN_PAGE, parseRunPage, type RunPageState, runPageSearch } from "./runPageState";

describe("the state of a run's page", () => {
  test("an untouched page has an empty address", () => {
    expect(runPageSearch(DEFAULT_RUN_PAGE)).toEqual({});
    expect(parseRunPage({})).toEqual(DEFAULT_RUN_PAGE);
  });

  test("what is in the address comes back the same", () => {
    const state: RunPageState = {
      ...DEFAULT_RUN_PAGE,
      tab: "logs",
      config: "lr",
      toggled: ["config:model"],
      charts: { ...DEFAULT_RUN_PAGE.charts, smooth: 0.6, zoom: { "train/loss": [1, 5] } },
      system: { ...DEFAULT_RUN_PAGE.system, x: "time" },
      logs: { find: "/Error.*/", only: true, times: true, wrap: true, line: 12 },
    };
    expect(parseRunPage({ ...runPageSearch(state) })).toEqual(state);
  });

  test.each([
    { tab: "nowhere" },
    { tab: 3 },
    { logs: "x" },
    { logs: { line: -1, wrap: "yes" } },
    { logs: { line: 1.5 } },
    { system: { x: "sideways" }, charts: [] },
    { toggled: "all" },
  ])("%j makes no sense and changes nothing", (search) => {
    const state = parseRunPage(search);
    expect({ ...state, system: DEFAULT_RUN_PAGE.system }).toEqual(DEFAULT_RUN_PAGE);
  });
});
