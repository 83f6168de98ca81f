import { expect, test } from "vitest";

import type { RunItem } from "@/data/queries";

import { boardRuns, DRAWN_BY_DEFAULT, drawnRuns, withAllTicks, withTick } from "./runSet";

const run = (name: string, createdAt = "2026-01-01T00:00:00Z"): RunItem => ({
  name,
  displayName: name,
  state: "finished",
  createdAt,
  heartbeatAt: createdAt,
  computeSeconds: 1,
  group: null,
  jobType: null,
  tags: [],
  historyLineCount: 1,
  lastStep: 0,
});
const many = Array.from({ length: DRAWN_BY_DEFAULT + 10 }, (_, i) => run(`run-${i}`));
const untouched = { hide: [], show: [] };

test("the first runs of the list are drawn, the others are not", () => {
  const drawn = drawnRuns(many, untouched);

  expect(drawn.size).toBe(DRAWN_BY_DEFAULT);
  expect(drawn.has("run-0")).toBe(true);
  expect(drawn.has(`run-${DRAWN_BY_DEFAULT}`)).toBe(false);
});

test.each(["run-3", `run-${DRAWN_BY_DEFAULT + 3}`])("ticking %s off and on again leaves no trace", (name) => {
  const isDefault = drawnRuns(many, untouched).has(name);
  const changed = withTick(many, untouched, name, !isDefault);

  expect(drawnRuns(many, changed).has(name)).toBe(!isDefault);
  expect(withTick(many, changed, name, isDefault)).toEqual(untouched);
});

test("all can be unticked at once", () => {
  expect(drawnRuns(many, withAllTicks(many, false)).size).toBe(0);
});

test("of runs that share a colour the oldest has the solid line, wherever it is in the list", () => {
  const runs = many.map(({ name }, i) =>
    run(name, `2026-01-01T00:00:${(59 - i).toString().padStart(2, "0")}Z`),
  );
  const drawn = boardRuns(runs, new Set(runs.map(({ name }) => name)));
  const color = drawn.find((each) => each.dash.length > 0)?.color;
  const sharing = drawn.filter((each) => each.color === color);

  expect(sharing.at(-1)?.dash).toEqual([]);
});
