import "./workspace.css";

import { useMemo } from "react";

import { formatCount } from "@/base/format";
import { visibleText } from "@/base/text";
import { useLive } from "@/data/live";
import { useMetricKeys, useProjectHead, useRuns } from "@/data/queries";
import { type ProjectRef, useServices, useStore } from "@/data/services";
import { useLiveSeries } from "@/data/useSeries";
import { PanelBoard } from "@/panels/PanelBoard";
import { panelsOf } from "@/panels/panelSpec";
import { CodeBlock, Failure, Message, Progress } from "@/ui/messages";
import { useTitle } from "@/ui/useTitle";

import { EmptyProject } from "./EmptyProject";
import { boardRuns, DRAWN_BY_DEFAULT, drawnRuns } from "./runSet";
import { RunsSidebar } from "./RunsSidebar";
import { SidebarEdge } from "./SidebarEdge";
import type { WorkspaceState } from "./workspaceState";

interface WorkspacePageProps {
  readonly project: ProjectRef;
  readonly state: WorkspaceState;
  readonly onChange: (change: Partial<WorkspaceState>) => void;
}

/** A project's workspace: its runs on the left, their panels on the right. */
export function WorkspacePage({ project, state, onChange }: WorkspacePageProps) {
  useLive(project);
  useLiveSeries(project);
  useTitle(visibleText(project.project));
  const head = useProjectHead(project);
  const runs = useRuns(project, state.q, state.order);
  if (head.isError) {
    return (
      <Failure
        title="The project could not be loaded"
        error={head.error}
        onRetry={() => void head.refetch()}
      />
    );
  }
  if (head.isPending) return <Progress isOn />;
  if (head.data === null) {
    const title = `There is no project ${visibleText(project.entity)}/${visibleText(project.project)} yet`;
    return <EmptyProject title={title} name={project.project} />;
  }
  if (runs.list?.totalCount === 0 && state.q === "") {
    return <EmptyProject title="No runs yet" name={project.project} />;
  }
  return <Workspace {...{ project, state, onChange, runs, definitions: head.data.metricDefinitions }} />;
}

interface WorkspaceProps extends WorkspacePageProps {
  readonly runs: ReturnType<typeof useRuns>;
  readonly definitions: Parameters<typeof panelsOf>[2];
}

function Workspace({ project, state, onChange, runs, definitions }: WorkspaceProps) {
  const { layout } = useServices();
  const { isSidebarFolded, sidebarPx } = useStore(layout, (value) => value);
  const { list } = runs;
  const { hide, show } = state;
  const drawn = useMemo(() => {
    const listed = list?.runs ?? [];
    return boardRuns(listed, drawnRuns(listed, { hide, show }));
  }, [list, hide, show]);
  const stable = useStable(drawn);
  const keys = useMetricKeys(project, "history");
  const panels = useMemo(() => panelsOf(keys.data ?? [], "history", definitions), [keys.data, definitions]);
  const nMore = (list?.totalCount ?? 0) - DRAWN_BY_DEFAULT;
  return (
    <div className="ep-workspace">
      {!isSidebarFolded && (
        <div
          className="ep-sidebar"
          ref={(element) => element?.style.setProperty("--sidebar", `${sidebarPx}px`)}
        >
          <RunsSidebar {...{ project, query: runs, drawn: stable, state, onChange }} />
          <SidebarEdge />
        </div>
      )}
      <div className="ep-workspace-panels">
        {keys.isError && keys.data === undefined ? (
          <Failure
            title="The metrics could not be loaded"
            error={keys.error}
            onRetry={() => void keys.refetch()}
          />
        ) : (
          <PanelBoard
            project={project}
            panels={panels}
            runs={stable}
            state={state}
            onChange={onChange}
            isLoading={keys.isPending}
            notice={
              <Notices
                hasNoMetric={keys.data !== undefined && panels.length === 0}
                hasNoRun={list !== undefined && drawn.length === 0}
                nMore={show.length === 0 && hide.length === 0 ? nMore : 0}
                total={list?.totalCount ?? 0}
              />
            }
          />
        )}
      </div>
    </div>
  );
}

interface NoticesProps {
  readonly hasNoMetric: boolean;
  readonly hasNoRun: boolean;
  /** Runs beyond those that are drawn by default. */
  readonly nMore: number;
  readonly total: number;
}

/** What the reader should know about the picture as a whole. */
function Notices({ hasNoMetric, hasNoRun, nMore, total }: NoticesProps) {
  if (hasNoMetric) {
    return (
      <Message title="No metrics yet">
        <p>A panel appears here with the first number that a run logs:</p>
        <CodeBlock code={'run.log({"loss": 0.9})'} />
      </Message>
    );
  }
  if (hasNoRun && total === 0) {
    return <p className="ep-notice">No run matches the search, so the panels are empty.</p>;
  }
  if (hasNoRun)
    return <p className="ep-notice">No run is ticked, so the panels are empty. Tick runs in the list.</p>;
  if (nMore <= 0) return null;
  return (
    <p className="ep-notice">
      {`${formatCount(total)} runs; the first ${DRAWN_BY_DEFAULT} of the list are drawn. Search, sort or tick to draw others.`}
    </p>
  );
}

/** The same array as long as its content is the same, so that a refetched list redraws nothing. */
function useStable<T>(value: T): T {
  const content = JSON.stringify(value);
  return useMemo(() => JSON.parse(content) as T, [content]);
}
