import { useRef, useState } from "react";

import { countOf, formatCount } from "@/base/format";
import type { Search } from "@/base/search";
import { type ConsoleLog, type LogLine, type LogStatus, MAX_ALL } from "@/data/consoleLog";
import type { ProjectRef } from "@/data/services";
import { logAsFile } from "@/data/useConsoleLog";
import { IconButton } from "@/ui/Button";
import { CopyButton } from "@/ui/CopyButton";
import { SearchBox } from "@/ui/fields";
import { wordsOf } from "@/ui/messages";
import { useShortcut } from "@/ui/shortcuts";

import type { LogState } from "./runPageState";

interface LogBarProps {
  readonly log: ConsoleLog;
  readonly status: LogStatus;
  readonly state: LogState;
  readonly onChange: (change: Partial<LogState>) => void;
  readonly search: Search;
  readonly matches: readonly number[];
  /** Sequence of the match that is shown, -1 for none. */
  readonly current: number;
  readonly onGo: (direction: 1 | -1) => void;
  readonly file: { readonly project: ProjectRef; readonly runId: string; readonly name: string };
}

/** What can be done with a log: searched, shown otherwise, copied, taken along. */
export function LogBar({ log, status, state, onChange, search, matches, current, onGo, file }: LogBarProps) {
  const field = useRef<HTMLInputElement>(null);
  useShortcut("/", "Search the log", () => field.current?.focus());
  useShortcut("t", "Show or hide times in the log", () => onChange({ times: !state.times }));
  useShortcut("w", "Wrap long lines of the log", () => onChange({ wrap: !state.wrap }));
  useShortcut("n", "Next match in the log", () => onGo(1));
  useShortcut("N", "Match before in the log (⇧n)", () => onGo(-1));
  const isSearching = search.expression !== null;
  return (
    <div className="ep-log-bar" role="toolbar" aria-label="Log">
      <SearchBox
        ref={field}
        value={state.find}
        onChange={(find) => onChange({ find })}
        placeholder="Search, or a regular expression"
        problem={search.problem}
        shortcut="/"
        onKeyDown={(event) => {
          if (event.key === "Enter") onGo(event.shiftKey ? -1 : 1);
        }}
      />
      {isSearching && (
        <>
          <span className="ep-log-count" role="status">
            {matchWords(matches, current)}
          </span>
          <IconButton icon="chevronUp" label="Match before (⇧Enter)" onClick={() => onGo(-1)} />
          <IconButton icon="chevronDown" label="Next match (Enter)" onClick={() => onGo(1)} />
          <Toggle isOn={state.only} word="Only matches" onToggle={() => onChange({ only: !state.only })} />
          <SearchedPart log={log} status={status} />
        </>
      )}
      <div className="ep-log-tools">
        <span className="ep-log-count">{countOf(status.total ?? 0, "line")}</span>
        <Toggle isOn={state.times} word="Times" onToggle={() => onChange({ times: !state.times })} />
        <Toggle isOn={state.wrap} word="Wrap" onToggle={() => onChange({ wrap: !state.wrap })} />
        <CopyButton
          label={copyWords(status)}
          text={() =>
            log
              .loaded()
              .map((line) => `${lineText(line, state.times)}\n`)
              .join("")
          }
        />
        <DownloadButton file={file} hasTimes={state.times} />
      </div>
    </div>
  );
}

function matchWords(matches: readonly number[], current: number): string {
  if (matches.length === 0) return "no match";
  const at = matches.indexOf(current);
  return at < 0
    ? countOf(matches.length, "line")
    : `${formatCount(at + 1)} of ${countOf(matches.length, "line")}`;
}

function copyWords({ nLoaded, total }: LogStatus): string {
  return nLoaded === total ? "Copy the log" : `Copy the ${formatCount(nLoaded)} lines that are loaded`;
}

function lineText(line: LogLine, hasTime: boolean): string {
  return hasTime ? `${new Date(line.time * 1000).toISOString()} ${line.shown.text}` : line.shown.text;
}

/** Says how much of the log the search has looked through, and offers the rest. */
function SearchedPart({ log, status }: { readonly log: ConsoleLog; readonly status: LogStatus }) {
  const total = status.total ?? 0;
  if (status.nLoaded >= Math.min(total, MAX_ALL)) return null;
  if (status.isLoadingAll) {
    return <span className="ep-log-count">{`loading, ${Math.floor((100 * status.nLoaded) / total)} %`}</span>;
  }
  return (
    <>
      <span className="ep-log-count">{`in ${formatCount(status.nLoaded)} of ${countOf(total, "line")}`}</span>
      <button type="button" className="ep-icon-button ep-log-toggle" onClick={() => log.loadAll()}>
        {total > MAX_ALL ? `Load the last ${formatCount(MAX_ALL)}` : "Load all"}
      </button>
    </>
  );
}

interface ToggleProps {
  readonly isOn: boolean;
  readonly word: string;
  readonly onToggle: () => void;
}

function Toggle({ isOn, word, onToggle }: ToggleProps) {
  return (
    <button type="button" className="ep-icon-button ep-log-toggle" aria-pressed={isOn} onClick={onToggle}>
      {word}
    </button>
  );
}

function DownloadButton({ file, hasTimes }: Pick<LogBarProps, "file"> & { readonly hasTimes: boolean }) {
  const [part, setPart] = useState<number | null>(null);
  const [problem, setProblem] = useState("");
  const download = async () => {
    setPart(0);
    setProblem("");
    try {
      const blob = await logAsFile(file.project, file.runId, (line) => lineText(line, hasTimes), setPart);
      saveAs(blob, `${file.runId}.log.txt`);
    } catch (error) {
      setProblem(wordsOf(error).message);
    }
    setPart(null);
  };
  const label =
    problem === "" ? "Download the whole log as text" : `The download failed: ${problem} Try again`;
  return (
    <>
      {part !== null && <span className="ep-log-count">{`${Math.floor(part * 100)} %`}</span>}
      <IconButton
        icon={problem === "" ? "download" : "alert"}
        label={label}
        disabled={part !== null}
        onClick={() => void download()}
      />
    </>
  );
}

function saveAs(blob: Blob, name: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  // The browser has its own hold on the data once the download has begun.
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
