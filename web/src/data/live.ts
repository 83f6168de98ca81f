/** Live updates: one event stream for the page, told on to whoever shows what changed. */
import type { QueryClient } from "@tanstack/react-query";
import { useEffect } from "react";

import { createStore, type ReadableStore } from "@/base/store";
import { type Change, followChanges } from "@/wire/live";

import { type ProjectRef, useServices } from "./services";

export type Connection = "off" | "connecting" | "live" | "lost";

type Listener = (change: Change | "reset") => void;

/** How often a list may be fetched again because of live changes. */
const LIST_INTERVAL_MS = 1000;

/** The one event stream of this page, following one project or all of them. */
export class LiveFeed {
  private readonly listeners = new Set<Listener>();
  private readonly state = createStore<Connection>("off");
  private readonly pending = new Set<string>();
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly queries: QueryClient) {}

  /** Whether changes are coming in. */
  get connection(): ReadableStore<Connection> {
    return this.state;
  }

  /** Hears every change of what is followed; "reset" means that some were missed. */
  subscribe(listener: Listener): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** Follows a project, or all with null, until the returned function is called. */
  follow(project: ProjectRef | null): () => void {
    this.state.set("connecting");
    const stop = followChanges(project, {
      onChange: (change) => this.tell(change),
      onReset: () => this.tell("reset"),
      onConnected: (isConnected) => this.state.set(isConnected ? "live" : "lost"),
    });
    return () => {
      stop();
      this.state.set("off");
    };
  }

  private tell(change: Change | "reset"): void {
    for (const listener of [...this.listeners]) listener(change);
    for (const kind of listsTouchedBy(change)) this.pending.add(kind);
    if (this.pending.size === 0) return;
    this.timer ??= setTimeout(() => this.refetch(), LIST_INTERVAL_MS);
  }

  /** Fetches the lists on the page that changed; the answers on screen stay until the new ones come. */
  private refetch(): void {
    this.timer = undefined;
    for (const kind of this.pending) void this.queries.invalidateQueries({ queryKey: [kind] });
    this.pending.clear();
  }
}

/** The first word of the query keys that a change makes old. */
function listsTouchedBy(change: Change | "reset"): string[] {
  if (change === "reset") return ["projects", "project", "runs", "run", "keys"];
  const lists: string[] = [];
  if (change.what.includes("run")) lists.push("projects", "project", "runs", "run");
  if (change.what.includes("summary")) lists.push("run");
  if (change.what.includes("keys")) lists.push("keys", "project");
  return lists;
}

/** Follows a project's changes (all projects' with null) while the component is on the page. */
export function useLive(project: ProjectRef | null): void {
  const { live } = useServices();
  useEffect(() => live.follow(project), [live, project]);
}
