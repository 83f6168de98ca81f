/** Which of the listed runs are drawn, and how. */
import { styleRuns } from "@/base/colors";
import { visibleName } from "@/base/text";
import { isAlive } from "@/data/runState";
import type { RunItem } from "@/data/queries";
import type { BoardRun } from "@/panels/panelSpec";

import type { WorkspaceState } from "./workspaceState";

/** So many of the first runs in the list are drawn unless they are unticked. */
export const DRAWN_BY_DEFAULT = 50;

type Ticks = Pick<WorkspaceState, "hide" | "show">;

/** The ids of the runs that are drawn. */
export function drawnRuns(runs: readonly RunItem[], { hide, show }: Ticks): Set<string> {
  const hidden = new Set(hide);
  const shown = new Set(show);
  return new Set(
    runs.flatMap(({ name }, index) =>
      (index < DRAWN_BY_DEFAULT && !hidden.has(name)) || shown.has(name) ? [name] : [],
    ),
  );
}

/** Returns the state in which one run is drawn, or is not; all others stay as they are. */
export function withTick(runs: readonly RunItem[], ticks: Ticks, runId: string, isDrawn: boolean): Ticks {
  const isDefault = runs.slice(0, DRAWN_BY_DEFAULT).some(({ name }) => name === runId);
  const hide = ticks.hide.filter((id) => id !== runId);
  const show = ticks.show.filter((id) => id !== runId);
  if (isDrawn && !isDefault) show.push(runId);
  if (!isDrawn && isDefault) hide.push(runId);
  return { hide, show };
}

/** Returns the state in which no run, or each of the first runs, is drawn. */
export function withAllTicks(runs: readonly RunItem[], isDrawn: boolean): Ticks {
  if (isDrawn) return { hide: [], show: [] };
  return { hide: runs.slice(0, DRAWN_BY_DEFAULT).map(({ name }) => name), show: [] };
}

/** Every listed run as a board draws it.  Of runs that share a colour the oldest has the solid line. */
export function boardRuns(runs: readonly RunItem[], drawn: ReadonlySet<string>): BoardRun[] {
  const chosen = runs.filter(({ name }) => drawn.has(name));
  const byAge = chosen.toSorted((left, right) => left.createdAt.localeCompare(right.createdAt));
  const styles = styleRuns(byAge.map(({ name }) => name));
  return chosen.map(({ name, displayName, state }) => ({
    id: name,
    label: visibleName(displayName, name),
    color: styles.get(name)?.color ?? "",
    dash: styles.get(name)?.dash ?? [],
    isAlive: isAlive(state),
  }));
}
