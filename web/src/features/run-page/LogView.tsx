import { type Ref, useEffect, useImperativeHandle, useMemo } from "react";

import { countOf } from "@/base/format";
import type { Search } from "@/base/search";
import type { ConsoleLog, LogStatus } from "@/data/consoleLog";
import { Button } from "@/ui/Button";
import { Icon } from "@/ui/Icon";
import { Failure, Progress } from "@/ui/messages";

import { LogRow } from "./LogRow";
import { singleRows, wrappedRows } from "./logRows";
import type { LogState } from "./runPageState";
import { useLogScroll } from "./useLogScroll";
import { useTextColumns } from "./useTextColumns";

export interface LogViewHandle {
  /** Brings a line into sight. */
  readonly show: (sequence: number) => void;
  /** Sequences of the first and the last line in sight. */
  readonly shownLines: () => readonly [number, number];
}

interface LogViewProps {
  readonly log: ConsoleLog;
  readonly status: LogStatus;
  /** Sequences of the lines to show; null for all. */
  readonly lines: readonly number[] | null;
  readonly state: LogState;
  readonly search: Search;
  readonly current: number;
  readonly isLive: boolean;
  readonly onPoint: (line: number) => void;
  readonly ref?: Ref<LogViewHandle>;
}

/**
 * The lines in sight and a few around them, however many there are.  It stays at the end while it is
 * there; away from the end it never moves by itself.
 */
export function LogView({ log, status, lines, state, search, current, isLive, onPoint, ref }: LogViewProps) {
  const total = status.total ?? 0;
  const nLines = lines?.length ?? total;
  const sequenceAt = (index: number) => (lines === null ? index : (lines[index] ?? 0));
  const gutter = gutterColumns(total, state.times);
  const [ruler, columns] = useTextColumns(gutter);
  const rows = useMemo(() => {
    if (!state.wrap) return singleRows(nLines);
    return wrappedRows(nLines, (index) => {
      const width = log.lineAt(lines === null ? index : (lines[index] ?? 0))?.shown.width ?? 0;
      return Math.max(1, Math.ceil(width / columns));
    });
  }, [state.wrap, nLines, lines, log, status, columns]); // eslint-disable-line react-hooks/exhaustive-deps -- the status is new when the lines are
  const start = state.line > 0 && lines === null ? Math.min(state.line - 1, nLines - 1) : null;
  const { host, handleScroll, handleKey, heightPx, topPx, first, last, isAtEnd, goToEnd, show } =
    useLogScroll(rows, start);
  useEffect(() => {
    // Lines that match lie anywhere; there the end is followed, where new ones come.
    if (lines !== null) log.want({ from: Math.max(0, total - 1), to: total });
    else if (last > first) log.want({ from: first, to: last });
  }, [log, lines, first, last, total]);
  useImperativeHandle(ref, () => ({
    show: (sequence) => show(lines === null ? sequence : lines.indexOf(sequence)),
    shownLines: () => [sequenceAt(first), sequenceAt(Math.max(last - 1, 0))],
  }));
  const expression = search.expression;
  return (
    <div className="ep-log" data-wrap={state.wrap} data-times={state.times}>
      <Progress isOn={status.isLoading && log.lineAt(sequenceAt(first)) === undefined} />
      {ruler}
      <div
        ref={host}
        className="ep-log-scroll"
        tabIndex={0}
        role="log"
        aria-label={isLive ? "What the run prints" : "What the run printed"}
        aria-live="off"
        onScroll={handleScroll}
        onKeyDown={handleKey}
      >
        <div className="ep-log-space" style={{ height: heightPx }}>
          <div className="ep-log-lines" style={{ transform: `translateY(${topPx}px)` }}>
            {Array.from({ length: Math.max(last - first, 0) }, (_, offset) => {
              const sequence = sequenceAt(first + offset);
              return (
                <LogRow
                  key={sequence}
                  sequence={sequence}
                  line={log.lineAt(sequence)}
                  gutter={gutter}
                  columns={state.wrap ? columns : 0}
                  hasTime={state.times}
                  expression={expression}
                  isCurrent={sequence === current}
                  isPointed={sequence === state.line - 1}
                  onPoint={onPoint}
                />
              );
            })}
          </div>
        </div>
        {nLines === 0 && <p className="ep-log-none">No line that is loaded matches.</p>}
      </div>
      {!isAtEnd && nLines > 0 && (
        <div className="ep-log-end">
          <Button onClick={goToEnd}>
            <Icon name="arrowDown" />
            {isLive ? "Follow the end" : "Go to the end"}
          </Button>
        </div>
      )}
      {status.error !== undefined && (
        <div className="ep-log-failure">
          <Failure
            title={`Part of ${countOf(total, "line")} could not be fetched`}
            error={status.error}
            onRetry={() => log.retry()}
          />
        </div>
      )}
    </div>
  );
}

/** Columns of text left of a line: its number, its time, and whether it is an error. */
function gutterColumns(total: number, hasTime: boolean): number {
  return Math.max(3, String(total).length) + (hasTime ? 14 : 0) + 5;
}
