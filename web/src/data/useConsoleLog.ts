/** The console log of a run for a component: live, and fetched as it is looked at. */
import { useEffect, useMemo, useSyncExternalStore } from "react";

import { askConsole } from "@/wire/client";

import { ConsoleLog, LogLine, type LogStatus, type LogWindow, MAX_WINDOW } from "./consoleLog";
import { type ProjectRef, useServices } from "./services";

/** Asks the server for a window of lines; they are counted from 0. */
function askWindow(
  { entity, project }: ProjectRef,
  run: string,
  { from, to }: LogWindow,
  signal?: AbortSignal,
) {
  const after = from > 0 ? { after: from - 1 } : {};
  return askConsole({ entity, project, run, ...after, before: to, limit: to - from }, signal);
}

/** Follows the console log of a run while the component is on the page. */
export function useConsoleLog(
  project: ProjectRef,
  run: string,
): { readonly log: ConsoleLog; readonly status: LogStatus } {
  const { live } = useServices();
  const log = useMemo(
    () => new ConsoleLog((window, signal) => askWindow(project, run, window, signal)),
    [project, run],
  );
  useEffect(() => {
    const close = log.open();
    const stop = live.subscribe((change) => {
      if (change === "reset" || (change.run === run && change.what.includes("console"))) log.markStale();
    });
    return () => {
      stop();
      close();
    };
  }, [log, live, run]);
  const status = useSyncExternalStore(log.subscribe, log.get);
  return { log, status };
}

/**
 * Returns all lines of a log as a text file, as a terminal showed them.
 *
 * @param tell hears how far it is, from 0 to 1.
 */
export async function logAsFile(
  project: ProjectRef,
  run: string,
  makeLine: (line: LogLine) => string,
  tell: (part: number) => void,
): Promise<Blob> {
  const parts: string[] = [];
  let from = 0;
  for (;;) {
    const answer = await askWindow(project, run, { from, to: from + MAX_WINDOW });
    parts.push(answer.lines.map((line) => `${makeLine(new LogLine(line))}\n`).join(""));
    from += MAX_WINDOW;
    if (from >= answer.total) return new Blob(parts, { type: "text/plain" });
    tell(from / answer.total);
  }
}
