import { ProjectsPage } from "@/features/projects/ProjectsPage";

/** The first page: all projects. */
export function ProjectsRoute() {
  return <ProjectsPage />;
}
