import { useSearch } from "@tanstack/react-router";

import { ProjectsPage } from "@/features/projects/ProjectsPage";
import { DEFAULT_PROJECTS, projectsSearch, type ProjectsState } from "@/features/projects/projectsState";

import { useUrlState } from "../useUrlState";

/** The first page: all projects, with the state of the list in the address. */
export function ProjectsRoute() {
  const search = useSearch({ from: "/" });
  const state: ProjectsState = { ...DEFAULT_PROJECTS, ...search };
  const change = useUrlState(state, projectsSearch);
  return <ProjectsPage state={state} onChange={change} />;
}
