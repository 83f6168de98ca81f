import "./projects.css";

import { useMemo, useRef, useState } from "react";

import { countOf } from "@/base/format";
import { searchFor } from "@/base/search";
import { useLive } from "@/data/live";
import { useProjects } from "@/data/queries";
import { Button } from "@/ui/Button";
import { SearchBox } from "@/ui/fields";
import { Failure, Progress } from "@/ui/messages";
import { useShortcut } from "@/ui/shortcuts";
import { useTitle } from "@/ui/useTitle";

import { FirstProject } from "./FirstProject";
import { arrangeProjects, type ProjectsState } from "./projectsState";
import { ProjectsTable } from "./ProjectsTable";

interface ProjectsPageProps {
  readonly state: ProjectsState;
  readonly onChange: (change: Partial<ProjectsState>) => void;
}

/** Projects fetched at first; the rest on request. */
const FIRST = 500;

/** All projects, the one that was active last on top. */
export function ProjectsPage({ state, onChange }: ProjectsPageProps) {
  const [first, setFirst] = useState(FIRST);
  const { data, error, refetch, isFetching } = useProjects(first);
  const search = useRef<HTMLInputElement>(null);
  useLive(null);
  useTitle("Projects");
  useShortcut("/", "Search", () => search.current?.focus());
  const projects = useMemo(
    () => arrangeProjects(data?.edges.map((edge) => edge.node) ?? [], state),
    [data, state],
  );
  if (data === undefined && error !== null) {
    return <Failure title="The projects cannot be listed" error={error} onRetry={() => void refetch()} />;
  }
  if (data?.totalCount === 0) return <FirstProject />;
  const nMissing = data === undefined ? 0 : data.totalCount - data.edges.length;
  return (
    <div className="ep-projects">
      <Progress isOn={data === undefined && isFetching} />
      <header>
        <h1>Projects</h1>
        <span className="ep-faint">{data !== undefined && countOf(data.totalCount, "project")}</span>
        <SearchBox
          ref={search}
          value={state.search}
          onChange={(text) => onChange({ search: text })}
          placeholder="Search projects"
          problem={searchFor(state.search).problem}
          shortcut="/"
        />
      </header>
      {error !== null && <StaleNote onRetry={() => void refetch()} />}
      <ProjectsTable projects={data === undefined ? null : projects} state={state} onChange={onChange} />
      {nMissing > 0 && (
        <footer>
          <span className="ep-faint">{countOf(nMissing, "project")} not listed yet</span>
          <Button onClick={() => setFirst(data?.totalCount ?? first)}>List all</Button>
        </footer>
      )}
    </div>
  );
}

function StaleNote({ onRetry }: { readonly onRetry: () => void }) {
  return (
    <p className="ep-projects-stale" role="alert">
      The server does not answer; this is the list as it was.
      <Button onClick={onRetry}>Try again</Button>
    </p>
  );
}
