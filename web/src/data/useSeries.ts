/** Series for a component: what to draw now, live, with the last picture kept while the next one loads. */
import { useEffect, useMemo, useSyncExternalStore } from "react";

import type { Stream } from "@/wire/series";

import type { Picture, SeriesQuestion, SeriesStore } from "./seriesStore";
import { type ProjectRef, useServices } from "./services";

export interface SeriesState extends Picture {
  readonly retry: () => void;
}

/** Follows the answer to a question; `question` may be a new object each time, its content counts. */
export function useSeries(project: ProjectRef, question: SeriesQuestion): SeriesState {
  const { seriesOf } = useServices();
  const store = seriesOf(project);
  const feed = useMemo(() => store.open(), [store]);
  const content = JSON.stringify(question);
  useEffect(() => {
    feed.setQuestion(JSON.parse(content) as SeriesQuestion);
  }, [feed, content]);
  useEffect(() => () => feed.close(), [feed]);
  const picture = useSyncExternalStore(feed.subscribe, feed.get);
  return useMemo(() => ({ ...picture, retry: () => feed.retry() }), [picture, feed]);
}

/** Tells a project's series of live changes, and lets a hidden tab rest. */
export function useLiveSeries(project: ProjectRef): void {
  const { live, seriesOf } = useServices();
  useEffect(() => {
    const store = seriesOf(project);
    const stop = live.subscribe((change) => {
      if (change === "reset") store.markStale(null, null);
      else for (const stream of streamsOf(change.what)) store.markStale(change.run, stream);
    });
    const handleVisibility = () => store.setPaused(document.hidden);
    document.addEventListener("visibilitychange", handleVisibility);
    return () => {
      stop();
      document.removeEventListener("visibilitychange", handleVisibility);
    };
  }, [live, seriesOf, project]);
}

function streamsOf(what: readonly string[]): Stream[] {
  return (["history", "system"] as const).filter((stream) => what.includes(stream));
}

export type { SeriesStore };
