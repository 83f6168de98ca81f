import "./runPage.css";

import { Link } from "@tanstack/react-router";

import { visibleText } from "@/base/text";
import { useLive } from "@/data/live";
import { useRun } from "@/data/queries";
import type { ProjectRef } from "@/data/services";
import { useLiveSeries } from "@/data/useSeries";
import { Failure, Message, Progress } from "@/ui/messages";

import { useTitle } from "@/ui/useTitle";

import { ChartsTab } from "./ChartsTab";
import { LogsTab } from "./LogsTab";
import { Overview } from "./Overview";
import type { RunData } from "./runData";
import { RunHeader } from "./RunHeader";
import type { RunPageState } from "./runPageState";
import { RunTabs, tabId, tabPanelId } from "./RunTabs";
import { SystemTab } from "./SystemTab";

export interface RunPageProps {
  readonly project: ProjectRef;
  readonly runId: string;
  readonly state: RunPageState;
  readonly onChange: (change: Partial<RunPageState>) => void;
}

/** Everything about one run: what went in, what came out, what it printed, how it ended. */
export function RunPage({ project, runId, state, onChange }: RunPageProps) {
  useLive(project);
  useLiveSeries(project);
  const { data: run, error, isLoading, refetch, dataUpdatedAt } = useRun(project, runId);
  useTitle(visibleText(run?.displayName ?? runId));
  if (run === null) return <NoSuchRun project={project} runId={runId} />;
  if (run === undefined) {
    if (error === null) return <RunSkeleton isLoading={isLoading} />;
    return <Failure title="This run cannot be shown" error={error} onRetry={() => void refetch()} />;
  }
  return (
    <div className="ep-run">
      <RunHeader run={run} readAt={dataUpdatedAt} project={project} isStale={error !== null} />
      <RunTabs tab={state.tab} onChange={(tab) => onChange({ tab })} />
      <div
        className="ep-run-body"
        role="tabpanel"
        id={tabPanelId(state.tab)}
        aria-labelledby={tabId(state.tab)}
        data-tab={state.tab}
      >
        <TabContent run={run} project={project} runId={runId} state={state} onChange={onChange} />
      </div>
    </div>
  );
}

function TabContent({ run, ...page }: RunPageProps & { readonly run: RunData }) {
  const { tab } = page.state;
  if (tab === "charts") return <ChartsTab run={run} {...page} />;
  if (tab === "system") return <SystemTab run={run} {...page} />;
  if (tab === "logs") return <LogsTab run={run} {...page} />;
  return <Overview run={run} {...page} />;
}

function NoSuchRun({ project, runId }: Pick<RunPageProps, "project" | "runId">) {
  return (
    <Message title="There is no such run">
      <p className="ep-break">
        {`The project ${visibleText(project.entity)}/${visibleText(project.project)} has no run with the id `}
        <code>{visibleText(runId)}</code>, or there is no such project. A run appears within a second of its
        first line; the address may also have lost a character.
      </p>
      <p className="ep-links">
        <Link to="/$entity/$project" params={{ ...project }} search={{}}>
          Open the project
        </Link>
        <Link to="/">All projects</Link>
      </p>
    </Message>
  );
}

function RunSkeleton({ isLoading }: { readonly isLoading: boolean }) {
  return (
    <div className="ep-run" aria-busy>
      <Progress isOn={isLoading} />
      <div className="ep-run-skeleton" aria-label="Loading">
        <i />
        <i />
        <i />
        <i />
      </div>
    </div>
  );
}
