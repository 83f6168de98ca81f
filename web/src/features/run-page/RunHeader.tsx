import { Link } from "@tanstack/react-router";

import { colorOf } from "@/base/colors";
import { countOf, formatAgo, formatCount, formatDateTime, formatDuration } from "@/base/format";
import { visibleText } from "@/base/text";
import { isAlive, stateLook } from "@/data/runState";
import type { ProjectRef } from "@/data/services";
import { CopyButton } from "@/ui/CopyButton";
import { Icon } from "@/ui/Icon";
import { StateMark } from "@/ui/messages";
import { useNow } from "@/ui/useNow";

import type { RunData } from "./runData";

interface RunHeaderProps {
  readonly run: RunData;
  /** When the server said all this, in milliseconds since 1970. */
  readonly readAt: number;
  readonly project: ProjectRef;
  /** The server did not answer the last time; this is the run as it was. */
  readonly isStale: boolean;
}

/** Who this run is: state, name, id, and the facts by which it is found again. */
export function RunHeader({ run, readAt, project, isStale }: RunHeaderProps) {
  return (
    <header className="ep-run-head">
      <div className="ep-run-name">
        <i className="ep-run-dot" style={{ background: colorOf(run.name) }} data-alive={isAlive(run.state)} />
        <h1 title={visibleText(run.displayName)}>
          <bdi>{visibleText(run.displayName)}</bdi>
        </h1>
        <StateMark {...stateLook(run.state)} />
        <span className="ep-run-id">
          <code>{run.name}</code>
          <CopyButton label="Copy the run id" text={() => run.name} />
        </span>
        {isStale && <StateMark icon="alert" tone="warn" word="as it was: the server does not answer" />}
        <Link
          to="/$entity/$project"
          params={{ ...project }}
          search={{}}
          className="ep-button ep-run-back"
          aria-label="Workspace"
          title="Back to the workspace"
        >
          <Icon name="chart" />
          <span>Workspace</span>
        </Link>
      </div>
      <RunFacts run={run} readAt={readAt} />
    </header>
  );
}

function RunFacts({ run, readAt }: Pick<RunHeaderProps, "run" | "readAt">) {
  const isRunning = isAlive(run.state);
  const now = useNow(isRunning ? 1000 : 30_000);
  const created = new Date(run.createdAt);
  // The server counts until its answer; from there on it is this clock.
  const seconds = run.computeSeconds + (isRunning ? Math.max(0, now.getTime() - readAt) / 1000 : 0);
  return (
    <dl className="ep-run-facts">
      <Fact label={isRunning ? "Running for" : "Ran for"}>
        {formatDuration(seconds < 60 ? Math.round(seconds) : seconds)}
      </Fact>
      <Fact label="Started">
        <time dateTime={run.createdAt} title={formatDateTime(created)}>
          {formatAgo(created, now)}
        </time>
      </Fact>
      <Fact label="Logged">
        <span title={run.lastStep === null ? "No step yet" : `Last step ${formatCount(run.lastStep)}`}>
          {countOf(run.historyLineCount, "row")}
        </span>
      </Fact>
      {run.group !== null && run.group !== "" && <Fact label="Group">{visibleText(run.group)}</Fact>}
      {run.jobType !== null && run.jobType !== "" && <Fact label="Job type">{visibleText(run.jobType)}</Fact>}
      {run.tags.length > 0 && (
        <Fact label="Tags">
          {run.tags.map((tag) => (
            <span key={tag} className="ep-tag">
              {visibleText(tag)}
            </span>
          ))}
        </Fact>
      )}
    </dl>
  );
}

function Fact({ label, children }: { readonly label: string; readonly children: React.ReactNode }) {
  return (
    <div>
      <dt>{label}</dt>
      <dd>{children}</dd>
    </div>
  );
}
