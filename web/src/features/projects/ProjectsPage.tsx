import { Link } from "@tanstack/react-router";

import { useProjects } from "@/data/queries";
import { Failure } from "@/ui/messages";

/** All projects, the one with the newest activity first. */
export function ProjectsPage() {
  const projects = useProjects();
  if (projects.isError) {
    return (
      <Failure
        title="The projects could not be loaded"
        error={projects.error}
        onRetry={() => void projects.refetch()}
      />
    );
  }
  return (
    <ul>
      {projects.data?.edges.map(({ node }) => (
        <li key={node.id}>
          <Link to="/$entity/$project" params={{ entity: node.entityName, project: node.name }}>
            {node.entityName}/{node.name}
          </Link>
        </li>
      ))}
    </ul>
  );
}
