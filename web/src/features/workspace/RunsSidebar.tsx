import { useNavigate } from "@tanstack/react-router";
import { useVirtualizer } from "@tanstack/react-virtual";
import { type KeyboardEvent, useEffect, useRef, useState } from "react";

import { countOf, formatCount } from "@/base/format";
import { searchFor } from "@/base/search";
import type { RunItem, RunOrder, useRuns } from "@/data/queries";
import { type ProjectRef, useServices } from "@/data/services";
import type { BoardRun } from "@/panels/panelSpec";
import { SearchBox, Select, Tick } from "@/ui/fields";
import { Failure, Progress } from "@/ui/messages";

import { RunRow } from "./RunRow";
import { withAllTicks, withTick } from "./runSet";
import type { WorkspaceState } from "./workspaceState";

interface RunsSidebarProps {
  readonly project: ProjectRef;
  readonly query: ReturnType<typeof useRuns>;
  readonly drawn: readonly BoardRun[];
  readonly state: WorkspaceState;
  readonly onChange: (change: Partial<WorkspaceState>) => void;
}

const ROW_PX = 24;
const ORDERS: readonly { value: RunOrder; text: string }[] = [
  { value: "-created_at", text: "Newest first" },
  { value: "+created_at", text: "Oldest first" },
  { value: "-heartbeat_at", text: "Last active" },
  { value: "+display_name", text: "Name" },
];
const NO_RUNS: readonly RunItem[] = [];

/** The runs of the project: what is ticked here is drawn there, in the same colour. */
export function RunsSidebar({ project, query, drawn, state, onChange }: RunsSidebarProps) {
  const { list } = query;
  const runs = list?.runs ?? NO_RUNS;
  return (
    <aside className="ep-runs" aria-label="Runs">
      <div className="ep-runs-bar">
        <SearchBox
          value={state.q}
          placeholder="Search runs"
          problem={searchFor(state.q).problem}
          onChange={(q) => onChange({ q })}
        />
        <div className="ep-runs-line">
          <Tick
            isOn={drawn.length > 0}
            label={drawn.length > 0 ? "Draw no run" : "Draw the first runs"}
            onToggle={() => onChange(withAllTicks(runs, drawn.length === 0))}
          />
          <span>
            {list === undefined
              ? "Runs"
              : `${formatCount(drawn.length)} of ${countOf(list.totalCount, "run")} drawn`}
          </span>
          <Select
            label="Order of runs"
            isLabelHidden
            value={state.order}
            groups={[{ options: ORDERS }]}
            onChange={(order) => onChange({ order: order as RunOrder })}
          />
        </div>
      </div>
      <div className="ep-runs-body">
        <Progress isOn={query.isPending || query.isPlaceholderData || query.isFetchingNextPage} />
        {query.isError && list === undefined ? (
          <Failure
            title="The runs could not be loaded"
            error={query.error}
            onRetry={() => void query.refetch()}
          />
        ) : (
          <RunsList {...{ project, query, runs, drawn, state, onChange }} />
        )}
        {list?.totalCount === 0 && state.q !== "" && (
          <p className="ep-runs-none">No run has that in its name or id.</p>
        )}
      </div>
    </aside>
  );
}

interface RunsListProps extends RunsSidebarProps {
  readonly runs: readonly RunItem[];
}

/** The rows on screen.  Arrows go through them, space ticks, Enter opens. */
function RunsList({ project, query, runs, drawn, state, onChange }: RunsListProps) {
  const { highlight } = useServices();
  const navigate = useNavigate();
  const scroll = useRef<HTMLDivElement>(null);
  const [active, setActive] = useState(-1);
  const rows = useVirtualizer({
    count: query.list?.totalCount ?? 0,
    getScrollElement: () => scroll.current,
    estimateSize: () => ROW_PX,
    overscan: 12,
  });
  const items = rows.getVirtualItems();
  const lastIndex = items.at(-1)?.index ?? 0;
  const { hasNextPage, isFetchingNextPage, fetchNextPage } = query;
  useEffect(() => {
    if (lastIndex >= runs.length && hasNextPage && !isFetchingNextPage) void fetchNextPage();
  }, [lastIndex, runs.length, hasNextPage, isFetchingNextPage, fetchNextPage]);

  const styles = new Map(drawn.map((run) => [run.id, run]));
  const tick = (runId: string, isDrawn: boolean) => onChange(withTick(runs, state, runId, isDrawn));
  const go = (to: number) => {
    const index = Math.min(Math.max(to, 0), runs.length - 1);
    setActive(index);
    rows.scrollToIndex(index);
    highlight.set(runs[index]?.name ?? null);
  };
  const handleKey = (event: KeyboardEvent) => {
    const run = runs[active];
    const moves = { ArrowDown: active + 1, ArrowUp: active - 1, Home: 0, End: runs.length - 1 } as const;
    if (event.key in moves) go(moves[event.key as keyof typeof moves]);
    else if (event.key === " " && run !== undefined) tick(run.name, !styles.has(run.name));
    else if (event.key === "Enter" && run !== undefined) {
      void navigate({
        to: "/$entity/$project/runs/$run",
        params: { ...project, run: run.name },
        search: {},
      });
    } else return;
    event.preventDefault();
  };
  return (
    <div
      ref={scroll}
      className="ep-runs-scroll"
      role="listbox"
      aria-label="Runs"
      aria-multiselectable
      aria-activedescendant={active >= 0 ? `run-${runs[active]?.name ?? ""}` : undefined}
      tabIndex={0}
      onKeyDown={handleKey}
      onBlur={() => {
        setActive(-1);
        highlight.set(null);
      }}
    >
      <div
        className="ep-runs-space"
        ref={(element) => element?.style.setProperty("height", `${rows.getTotalSize()}px`)}
      >
        {items.map(({ index, start }) => {
          const run = runs[index];
          return (
            <div
              key={run?.name ?? index}
              id={run && `run-${run.name}`}
              role="option"
              aria-selected={run !== undefined && styles.has(run.name)}
              className="ep-runs-place"
              style={{ transform: `translateY(${start}px)` }}
            >
              {run && (
                <RunRow
                  project={project}
                  run={run}
                  dash={styles.get(run.name)?.dash ?? []}
                  isDrawn={styles.has(run.name)}
                  isActive={index === active}
                  onTick={tick}
                />
              )}
            </div>
          );
        })}
      </div>
    </div>
  );
}
