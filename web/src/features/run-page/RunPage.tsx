import { useRun } from "@/data/queries";
import type { ProjectRef } from "@/data/services";
import { Failure } from "@/ui/messages";

import type { RunPageState } from "./runPageState";

interface RunPageProps {
  readonly project: ProjectRef;
  readonly runId: string;
  readonly state: RunPageState;
  readonly onChange: (change: Partial<RunPageState>) => void;
}

/** One run: what it was started with, how it went and how it ended. */
export function RunPage({ project, runId }: RunPageProps) {
  const run = useRun(project, runId);
  if (run.isError) {
    return (
      <Failure title="The run could not be loaded" error={run.error} onRetry={() => void run.refetch()} />
    );
  }
  return <h1>{run.data?.displayName}</h1>;
}
