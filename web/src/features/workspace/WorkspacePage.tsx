import { useLive } from "@/data/live";
import type { ProjectRef } from "@/data/services";
import { useLiveSeries } from "@/data/useSeries";

import type { WorkspaceState } from "./workspaceState";

interface WorkspacePageProps {
  readonly project: ProjectRef;
  readonly state: WorkspaceState;
  readonly onChange: (change: Partial<WorkspaceState>) => void;
}

/** A project's workspace: its runs on the left, their panels on the right. */
export function WorkspacePage({ project }: WorkspacePageProps) {
  useLive(project);
  useLiveSeries(project);
  return <h1>{project.project}</h1>;
}
