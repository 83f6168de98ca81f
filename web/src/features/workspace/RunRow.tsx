import { Link } from "@tanstack/react-router";
import { memo, useCallback } from "react";

import { colorOf } from "@/base/colors";
import { formatAgo, formatDateTime } from "@/base/format";
import { visibleName } from "@/base/text";
import type { RunItem } from "@/data/queries";
import { stateLook } from "@/data/runState";
import { type ProjectRef, useServices, useStore } from "@/data/services";
import { Tick } from "@/ui/fields";
import { StateMark } from "@/ui/messages";

interface RunRowProps {
  readonly project: ProjectRef;
  readonly run: RunItem;
  readonly dash: readonly number[];
  readonly isDrawn: boolean;
  /** The row that the arrow keys have come to. */
  readonly isActive: boolean;
  readonly onTick: (runId: string, isDrawn: boolean) => void;
}

/** One run in the list: drawn or not, its colour, its name, how it is doing. */
export const RunRow = memo(function RunRow({ project, run, dash, isDrawn, isActive, onTick }: RunRowProps) {
  const { highlight } = useServices();
  const isLit = useStore(
    highlight,
    useCallback((lit) => lit === run.name, [run.name]),
  );
  const name = visibleName(run.displayName, run.name);
  const look = stateLook(run.state);
  const lastSign = new Date(run.heartbeatAt);
  // A finished run tells when; any other state tells itself.
  const word = run.state === "finished" ? formatAgo(lastSign, new Date()) : look.word;
  return (
    <div
      className="ep-run-row"
      data-lit={isLit}
      data-active={isActive}
      data-drawn={isDrawn}
      onMouseEnter={() => highlight.set(run.name)}
      onMouseLeave={() => highlight.set(null)}
    >
      <Tick
        isOn={isDrawn}
        isTabStop={false}
        label={`Draw ${name}`}
        onToggle={() => onTick(run.name, !isDrawn)}
      />
      <svg className="ep-run-dot" viewBox="0 0 16 8" aria-hidden>
        <path d="M0 4h16" stroke={colorOf(run.name)} strokeDasharray={dash.join(" ")} />
      </svg>
      <Link
        className="ep-run-name"
        to="/$entity/$project/runs/$run"
        params={{ ...project, run: run.name }}
        tabIndex={-1}
        title={`${name} (${run.name})`}
      >
        {name}
      </Link>
      <span title={`${look.word}, last sign of life ${formatDateTime(lastSign)}`} className="ep-run-state">
        <StateMark icon={look.icon} tone={look.tone} word={word} />
      </span>
    </div>
  );
});
