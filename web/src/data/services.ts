/** What every part of the app shares, made once by the app and handed down. */
import type { QueryClient } from "@tanstack/react-query";
import { createContext, useCallback, useContext, useMemo, useSyncExternalStore } from "react";

import type { ReadableStore, Store } from "@/base/store";

import type { LiveFeed } from "./live";
import type { SeriesStore } from "./seriesStore";

/** A project, as the address names it. */
export interface ProjectRef {
  readonly entity: string;
  readonly project: string;
}

/** What is kept of the frame from one visit to the next. */
export interface Layout {
  readonly isSidebarFolded: boolean;
  readonly sidebarPx: number;
}

export interface Services {
  readonly queries: QueryClient;
  readonly live: LiveFeed;
  /** The run under the mouse, in the list or in any chart; null for none. */
  readonly highlight: Store<string | null>;
  /** How this person has arranged the frame; kept in this browser. */
  readonly layout: Store<Layout>;
  /** The store of a project's series; the same one for the same project. */
  readonly seriesOf: (project: ProjectRef) => SeriesStore;
}

export const ServicesContext = createContext<Services | null>(null);

/** The services of the app around this component. */
export function useServices(): Services {
  const services = useContext(ServicesContext);
  if (services === null) throw new Error("useServices is called outside of the app's providers");
  return services;
}

/** Watches a part of a store; the component renders only when that part changes. */
export function useStore<T, Part>(store: ReadableStore<T>, select: (value: T) => Part): Part {
  const get = useCallback(() => select(store.get()), [store, select]);
  return useSyncExternalStore(store.subscribe, get);
}

/** The same project object for the same names, so that it can stand in dependency lists. */
export function useProjectRef(entity: string, project: string): ProjectRef {
  return useMemo(() => ({ entity, project }), [entity, project]);
}
