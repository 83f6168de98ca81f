import { expect, test } from "vitest";

import type { DefinitionItem, KeyItem } from "@/wire/operations.gen";

import { DEFAULT_BOARD, parseBoard, shortened } from "./boardState";
import { definitionOf, panelsOf, panelX } from "./panelSpec";

const definition = (name: string, change: Partial<DefinitionItem> = {}): DefinitionItem => ({
  name,
  stepMetric: null,
  hidden: false,
  summary: [],
  goal: null,
  ...change,
});
const key = (name: string): KeyItem => ({
  key: name,
  type: "number",
  count: 1,
  runCount: 1,
  firstStep: 0,
  lastStep: 0,
});

test("a board's state comes back from its address as it was", () => {
  const state = {
    ...DEFAULT_BOARD,
    x: "key:epoch",
    smooth: 0.6,
    log: ["loss"],
    zoom: { loss: [10, 20.5] as const },
    page: { train: 2 },
    panels: "^train/",
    full: "train/loss",
  };

  expect(parseBoard(JSON.parse(JSON.stringify(shortened(state, DEFAULT_BOARD))) as never)).toEqual(state);
});

test("an untouched board has an empty address", () => {
  expect(shortened(DEFAULT_BOARD, DEFAULT_BOARD)).toEqual({});
});

test.each([
  [{ smooth: "a" }],
  [{ smooth: 7 }],
  [{ x: "sideways" }],
  [{ zoom: { loss: [3, 1] } }],
  [{ zoom: "loss" }],
  [{ page: [1] }],
  [{ log: { 0: "loss" } }],
])("an address that makes no sense, such as %j, is as by default", (search) => {
  expect(parseBoard(search)).toEqual(DEFAULT_BOARD);
});

test("hidden metrics and those whose name starts with _ have no panel", () => {
  const keys = ["loss", "_runtime", "secret/a", "epoch"].map(key);

  const panels = panelsOf(keys, "history", [definition("secret/*", { hidden: true })]);

  expect(panels.map((panel) => panel.key)).toEqual(["loss", "epoch"]);
});

test("a metric's own definition goes before a glob, and the longer glob before the shorter", () => {
  const definitions = [definition("*"), definition("train/*"), definition("train/loss")];

  expect(definitionOf("train/loss", definitions)?.name).toBe("train/loss");
  expect(definitionOf("train/lr", definitions)?.name).toBe("train/*");
  expect(definitionOf("val/loss", definitions)?.name).toBe("*");
});

test("a panel stands over its step metric until another x axis is chosen", () => {
  const [panel] = panelsOf([key("val/loss")], "history", [definition("val/*", { stepMetric: "epoch" })]);
  if (panel === undefined) throw new Error("no panel");

  expect(panelX(panel, "step")).toEqual({ key: "epoch" });
  expect(panelX(panel, "relative")).toBe("relative");
});

test("system metrics have no steps, so they stand over time", () => {
  const [panel] = panelsOf([key("cpu")], "system", []);
  if (panel === undefined) throw new Error("no panel");

  expect(panelX(panel, "step")).toBe("relative");
  expect(panelX(panel, "time")).toBe("time");
});
