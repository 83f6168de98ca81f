import { Link, useNavigate } from "@tanstack/react-router";
import { useVirtualizer } from "@tanstack/react-virtual";
import { type KeyboardEvent, useRef } from "react";

import { countOf, formatAgo, formatCount, formatDateTime } from "@/base/format";
import { visibleText } from "@/base/text";
import { Icon } from "@/ui/Icon";
import { StateMark } from "@/ui/messages";
import { useNow } from "@/ui/useNow";
import { useRowCursor } from "@/ui/useRowCursor";
import type { ProjectItem } from "@/wire/operations.gen";

import type { ProjectOrder, ProjectsState } from "./projectsState";

interface ProjectsTableProps {
  /** null while they are fetched for the first time. */
  readonly projects: readonly ProjectItem[] | null;
  readonly state: ProjectsState;
  readonly onChange: (change: Partial<ProjectsState>) => void;
}

const COLUMNS: readonly {
  readonly order: ProjectOrder;
  readonly title: string;
  readonly isNumber: boolean;
}[] = [
  { order: "name", title: "Project", isNumber: false },
  { order: "runs", title: "Runs", isNumber: true },
  { order: "running", title: "Running now", isNumber: false },
  { order: "active", title: "Last activity", isNumber: false },
  { order: "created", title: "Created", isNumber: false },
];

const ROW_PX = 32;
const CLOCK_MS = 10_000;

/** The projects as rows: arrows and Enter, or the mouse. */
export function ProjectsTable({ projects, state, onChange }: ProjectsTableProps) {
  const host = useRef<HTMLDivElement>(null);
  const navigate = useNavigate();
  const now = useNow(CLOCK_MS);
  const rows = useVirtualizer({
    count: projects?.length ?? 0,
    getScrollElement: () => host.current,
    estimateSize: () => ROW_PX,
    overscan: 10,
    // The head stays above the rows.
    scrollPaddingStart: ROW_PX,
  });
  const cursor = useRowCursor(projects?.length ?? 0, (index) => rows.scrollToIndex(index));
  const handleKey = (event: KeyboardEvent) => {
    const project = projects?.[cursor.at];
    if (cursor.handleMove(event) || event.key !== "Enter" || project === undefined) return;
    if (event.target instanceof HTMLElement && event.target.closest("a, button") !== null) return;
    void navigate({ to: "/$entity/$project", params: paramsOf(project), search: {} });
  };
  return (
    <div className="ep-table">
      <div
        ref={host}
        className="ep-table-body"
        role="grid"
        tabIndex={0}
        aria-label="Projects; arrows move, Enter opens"
        aria-rowcount={(projects?.length ?? 0) + 1}
        aria-activedescendant={cursor.at >= 0 ? `project-${cursor.at}` : undefined}
        onKeyDown={handleKey}
      >
        <div className="ep-table-head" role="row" aria-rowindex={1}>
          {COLUMNS.map((column) => (
            <HeadCell key={column.order} {...column} state={state} onChange={onChange} />
          ))}
        </div>
        {projects === null && <Skeleton />}
        {projects?.length === 0 && <p className="ep-table-none">No project has that in its name.</p>}
        <div role="presentation" style={{ height: rows.getTotalSize(), position: "relative" }}>
          {rows.getVirtualItems().map(({ index, start }) => {
            const project = projects?.[index];
            if (project === undefined) return null;
            return (
              <ProjectRow
                key={project.id}
                project={project}
                index={index}
                top={start}
                isAt={index === cursor.at}
                now={now}
                onPress={() => cursor.setAt(index)}
              />
            );
          })}
        </div>
      </div>
    </div>
  );
}

interface HeadCellProps {
  readonly order: ProjectOrder;
  readonly title: string;
  readonly isNumber: boolean;
  readonly state: ProjectsState;
  readonly onChange: (change: Partial<ProjectsState>) => void;
}

function HeadCell({ order, title, isNumber, state, onChange }: HeadCellProps) {
  const isChosen = state.order === order;
  const isUp = isChosen && state.reversed !== (order === "name");
  return (
    <span
      role="columnheader"
      aria-sort={isChosen ? (isUp ? "ascending" : "descending") : "none"}
      data-number={isNumber}
    >
      <button type="button" onClick={() => onChange({ order, reversed: isChosen && !state.reversed })}>
        {title}
        {isChosen && <Icon name={state.reversed ? "chevronUp" : "chevronDown"} />}
      </button>
    </span>
  );
}

interface ProjectRowProps {
  readonly project: ProjectItem;
  readonly index: number;
  readonly top: number;
  readonly isAt: boolean;
  readonly now: Date;
  readonly onPress: () => void;
}

function ProjectRow({ project, index, top, isAt, now, onPress }: ProjectRowProps) {
  return (
    <Link
      to="/$entity/$project"
      params={paramsOf(project)}
      search={{}}
      id={`project-${index}`}
      className="ep-table-row"
      role="row"
      aria-rowindex={index + 2}
      aria-selected={isAt}
      tabIndex={-1}
      draggable={false}
      style={{ transform: `translateY(${top}px)` }}
      onMouseDown={onPress}
    >
      <span role="gridcell" className="ep-project-name">
        <small>{visibleText(project.entityName)} /</small>
        <bdi title={project.name}>{visibleText(project.name)}</bdi>
      </span>
      <span role="gridcell" data-number>
        {formatCount(project.runCount)}
      </span>
      <span role="gridcell">
        {project.runningCount > 0 && (
          <span className="ep-running" title={`${countOf(project.runningCount, "run")} going on`}>
            <StateMark icon="dot" tone="good" word={`${formatCount(project.runningCount)} running`} />
          </span>
        )}
      </span>
      <When date={project.lastActive} now={now} />
      <When date={project.createdAt} now={now} />
    </Link>
  );
}

function When({ date, now }: { readonly date: string; readonly now: Date }) {
  const then = new Date(date);
  return (
    <span role="gridcell" title={formatDateTime(then)}>
      {formatAgo(then, now)}
    </span>
  );
}

function Skeleton() {
  return (
    <div className="ep-table-skeleton" aria-label="Loading">
      {Array.from({ length: 6 }, (_, index) => (
        <i key={index} />
      ))}
    </div>
  );
}

function paramsOf(project: ProjectItem) {
  return { entity: project.entityName, project: project.name };
}
