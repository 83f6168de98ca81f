/** Which panels a board has: one for every metric that is not hidden. */
import { type Search } from "@/base/search";
import { type Section, sectionsOf } from "@/base/sections";
import { groupSystemKeys, systemMetric } from "@/base/systemMetrics";
import type { DefinitionItem, KeyItem, MetricType } from "@/wire/operations.gen";
import type { Stream, XAxis } from "@/wire/series";
import type { XKind } from "@/chart/axes";

import { xAxisOf } from "./boardState";

/** One panel: what it shows, before anything is known about its data. */
export interface PanelSpec {
  /** Names the panel in the page's address. */
  readonly id: string;
  readonly key: string;
  /** What stands above the panel, where that is not its key. */
  readonly title?: string;
  readonly stream: Stream;
  readonly type: MetricType;
  /** What define_metric named as its x axis; null for the step. */
  readonly stepMetric: string | null;
}

/** A run as a board draws it. */
export interface BoardRun {
  readonly id: string;
  readonly label: string;
  readonly color: string;
  readonly dash: readonly number[];
  readonly isAlive: boolean;
}

/** The definition that holds for a key: its own, or else the longest glob that matches. */
export function definitionOf(key: string, definitions: readonly DefinitionItem[]): DefinitionItem | null {
  let best: DefinitionItem | null = null;
  for (const definition of definitions) {
    const { name } = definition;
    if (name === key) return definition;
    const isMatch = name.endsWith("*") && key.startsWith(name.slice(0, -1));
    if (isMatch && name.length > (best?.name.length ?? 0)) best = definition;
  }
  return best;
}

/** Returns the panels of a stream's metrics; hidden metrics and those whose name starts with `_` have none. */
export function panelsOf(
  keys: readonly KeyItem[],
  stream: Stream,
  definitions: readonly DefinitionItem[],
): PanelSpec[] {
  return keys.flatMap(({ key, type }) => {
    const definition = definitionOf(key, definitions);
    if (key.startsWith("_") || definition?.hidden === true) return [];
    const stepMetric = definition?.stepMetric ?? null;
    if (stream === "system") return [systemPanel(key, type)];
    return [{ id: key, key, stream, type, stepMetric: stepMetric === key ? null : stepMetric }];
  });
}

function systemPanel(key: string, type: MetricType): PanelSpec {
  const { title, unit } = systemMetric(key);
  const named = unit === "" ? title : `${title}, ${unit}`;
  return { id: `system:${key}`, key, title: named, stream: "system", type, stepMetric: null };
}

/** Returns the sections of a board, without the panels that a search leaves out and without empty sections. */
export function boardSections(panels: readonly PanelSpec[], search: Search): Section<PanelSpec>[] {
  const found = panels.filter((panel) => search.matches(panel.key) || search.matches(panel.title ?? ""));
  const system = new Map(found.flatMap((panel) => (panel.stream === "system" ? [[panel.key, panel]] : [])));
  return [
    ...sectionsOf(found.filter((panel) => panel.stream === "history")),
    ...groupSystemKeys([...system.keys()]).map(({ group, keys }) => ({
      name: group,
      keys: keys.flatMap((key) => system.get(key) ?? []),
    })),
  ];
}

/** The x axis of one panel: the board's choice, or for "step" what define_metric said. */
export function panelX(panel: PanelSpec, choice: string): XAxis {
  if (panel.stream === "system") return choice === "time" ? "time" : "relative";
  return choice === "step" && panel.stepMetric !== null ? { key: panel.stepMetric } : xAxisOf(choice);
}

/** How an x axis is drawn and what it is called. */
export function axisLook(axis: XAxis): { readonly kind: XKind; readonly label: string } {
  if (axis === "step") return { kind: "step", label: "Step" };
  if (axis === "relative") return { kind: "relative", label: "After" };
  if (axis === "time") return { kind: "time", label: "Wall time" };
  return { kind: "metric", label: axis.key };
}
