import "./logs.css";

import { useEffect, useMemo, useRef, useState } from "react";

import { searchFor } from "@/base/search";
import { isAlive } from "@/data/runState";
import { useConsoleLog } from "@/data/useConsoleLog";
import { Failure, Message, Progress } from "@/ui/messages";

import { LogBar } from "./LogBar";
import { LogView, type LogViewHandle } from "./LogView";
import type { RunData } from "./runData";
import type { RunPageProps } from "./RunPage";
import type { LogState } from "./runPageState";
import { useMatches } from "./useMatches";

/** A log of so many lines is searched as a whole without being asked to: two requests. */
const SEARCHED_WHOLE = 20_000;

/** What a run printed: the end of it first, and what is added while it is looked at. */
export function LogsTab({ run, project, runId, state, onChange }: RunPageProps & { readonly run: RunData }) {
  const { log, status } = useConsoleLog(project, runId);
  const { logs } = state;
  const view = useRef<LogViewHandle>(null);
  const [current, setCurrent] = useState(-1);
  const search = useMemo(() => searchFor(logs.find), [logs.find]);
  const matches = useMatches(log, status, search);
  const isSmall = status.total !== null && status.total <= SEARCHED_WHOLE;
  useEffect(() => {
    if (isSmall && search.expression !== null) log.loadAll();
  }, [log, isSmall, search]);
  const change = (part: Partial<LogState>) => onChange({ logs: { ...logs, ...part } });
  const goTo = (direction: 1 | -1) => {
    const next = nextMatch(matches, current, direction, view.current?.shownLines() ?? [0, 0]);
    if (next === undefined) return;
    setCurrent(next);
    view.current?.show(next);
  };
  if (status.total === null) {
    if (status.error === undefined) return <Progress isOn />;
    return <Failure title="The log cannot be read" error={status.error} onRetry={() => log.retry()} />;
  }
  if (status.total === 0) return <NothingPrinted isRunning={isAlive(run.state)} />;
  return (
    <div className="ep-logs">
      <LogBar
        log={log}
        status={status}
        state={logs}
        onChange={change}
        search={search}
        matches={matches}
        current={current}
        onGo={goTo}
        file={{ project, runId, name: run.displayName }}
      />
      <LogView
        ref={view}
        // Another list of lines begins at its own end.
        key={logs.only ? "only" : "all"}
        log={log}
        status={status}
        lines={logs.only && search.expression !== null ? matches : null}
        state={logs}
        search={search}
        current={current}
        isLive={isAlive(run.state)}
        onPoint={(line) => change({ line })}
      />
    </div>
  );
}

/** The match after or before the one that is shown; without one, the first beyond what is in sight. */
function nextMatch(
  matches: readonly number[],
  current: number,
  direction: 1 | -1,
  [first, last]: readonly [number, number],
): number | undefined {
  if (direction === 1) {
    const from = current < 0 ? first - 1 : current;
    return matches.find((sequence) => sequence > from) ?? matches[0];
  }
  const until = current < 0 ? last + 1 : current;
  return matches.findLast((sequence) => sequence < until) ?? matches.at(-1);
}

function NothingPrinted({ isRunning }: { readonly isRunning: boolean }) {
  return (
    <Message title={isRunning ? "Nothing printed yet" : "Nothing was printed"}>
      <p>
        {isRunning ? "What the run prints appears here as it does. " : ""}
        The console is recorded unless the run was started with <code>console="off"</code> in its settings.
      </p>
    </Message>
  );
}
