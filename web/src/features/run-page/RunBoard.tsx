import { type ReactNode, useMemo } from "react";

import { useMetricKeys } from "@/data/queries";
import type { BoardState } from "@/panels/boardState";
import { PanelBoard } from "@/panels/PanelBoard";
import { type BoardRun, panelsOf } from "@/panels/panelSpec";
import { colorOf } from "@/base/colors";
import { isAlive } from "@/data/runState";
import { Failure, Progress } from "@/ui/messages";
import type { Stream } from "@/wire/series";

import type { RunData } from "./runData";
import type { RunPageProps } from "./RunPage";

interface RunBoardProps extends Pick<RunPageProps, "project" | "runId"> {
  readonly run: RunData;
  readonly stream: Stream;
  readonly state: BoardState;
  readonly onChange: (change: Partial<BoardState>) => void;
  /** What to say where the run has no metric of that stream. */
  readonly empty: ReactNode;
}

/** The panels of one stream of this run: the workspace's own, for a single line each. */
export function RunBoard({ run, project, runId, stream, state, onChange, empty }: RunBoardProps) {
  const only = useMemo(() => [runId], [runId]);
  const keys = useMetricKeys(project, stream, only);
  const runs = useBoardRuns(run);
  const panels = useMemo(
    () => panelsOf(keys.data ?? [], stream, run.metricDefinitions),
    [keys.data, stream, run.metricDefinitions],
  );
  if (keys.data === undefined) {
    if (!keys.isError) return <Progress isOn />;
    return (
      <Failure
        title="The metrics could not be loaded"
        error={keys.error}
        onRetry={() => void keys.refetch()}
      />
    );
  }
  if (panels.length === 0) return empty;
  return <PanelBoard project={project} panels={panels} runs={runs} state={state} onChange={onChange} />;
}

/** This one run as a board draws it; the same array until something about it changes. */
function useBoardRuns({ name, displayName, state }: RunData): readonly BoardRun[] {
  const isRunning = isAlive(state);
  return useMemo(
    () => [{ id: name, label: displayName, color: colorOf(name), dash: [], isAlive: isRunning }],
    [name, displayName, isRunning],
  );
}
