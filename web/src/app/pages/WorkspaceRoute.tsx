import { useParams, useSearch } from "@tanstack/react-router";

import { useProjectRef } from "@/data/services";
import { WorkspacePage } from "@/features/workspace/WorkspacePage";
import { DEFAULT_WORKSPACE, type WorkspaceState, workspaceSearch } from "@/features/workspace/workspaceState";

import { useUrlState } from "../useUrlState";

/** A project's workspace, with its state in the address. */
export function WorkspaceRoute() {
  const params = useParams({ from: "/$entity/$project" });
  const search = useSearch({ from: "/$entity/$project" });
  const project = useProjectRef(params.entity, params.project);
  const state: WorkspaceState = { ...DEFAULT_WORKSPACE, ...search };
  const change = useUrlState(state, workspaceSearch);
  return (
    <WorkspacePage
      key={`${project.entity}/${project.project}`}
      project={project}
      state={state}
      onChange={change}
    />
  );
}
