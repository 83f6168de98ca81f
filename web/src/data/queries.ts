/** The lists of the app: what is asked, how it is cached, and when it is asked again. */
import { QueryClient, useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { useMemo } from "react";

import { serverSearch } from "@/base/search";
import { ask } from "@/wire/client";
import { ApiError, isSignedOut } from "@/wire/errors";
import {
  type DefinitionItem,
  type KeyItem,
  MetricKeys,
  ProjectHead,
  Projects,
  RunPage,
  type RunItem,
  Runs,
  ServerInfo,
} from "@/wire/operations.gen";
import type { Stream } from "@/wire/series";

import type { ProjectRef } from "./services";

const RUNS_PAGE = 200;
const KEYS_PAGE = 5000;
/** States such as "silent" follow from the clock, so no event announces them. */
const STATE_INTERVAL_MS = 15_000;

export type RunOrder = "-created_at" | "+created_at" | "+display_name" | "-heartbeat_at";

/** Makes the app's query cache: answers stay until newer ones come, and a lost server is asked again. */
export function createQueryClient(): QueryClient {
  return new QueryClient({
    defaultOptions: {
      queries: {
        staleTime: 5_000,
        retry: (failures, error) => error instanceof ApiError && error.status === 0 && failures < 2,
      },
    },
  });
}

/** Who is asking, and which server answers. */
export function useServerInfo() {
  return useQuery({
    queryKey: ["server"],
    queryFn: ({ signal }) => ask(ServerInfo, {}, signal),
    staleTime: Infinity,
  });
}

/** Projects by last activity, newest first. */
export function useProjects(first = 200) {
  return useQuery({
    queryKey: ["projects", first],
    queryFn: ({ signal }) => ask(Projects, { first }, signal),
    select: (answer) => answer.projects,
    refetchInterval: STATE_INTERVAL_MS,
  });
}

/** A project's own facts and metric definitions; null if there is no such project. */
export function useProjectHead({ entity, project }: ProjectRef) {
  return useQuery({
    queryKey: ["project", entity, project],
    queryFn: ({ signal }) => ask(ProjectHead, { entity, project }, signal),
    select: (answer) => answer.project,
  });
}

/** The last answer stays for another question about the same project, never for another project's. */
function isOf(query: { queryKey: readonly unknown[] } | undefined, entity: string, project: string): boolean {
  return query?.queryKey[1] === entity && query.queryKey[2] === project;
}

export interface RunList {
  readonly runs: readonly RunItem[];
  /** Runs that match the search, whether fetched yet or not. */
  readonly totalCount: number;
}

/** The project's runs that match a search, fetched page by page as they are looked at. */
export function useRuns({ entity, project }: ProjectRef, search: string, order: RunOrder) {
  const query = useInfiniteQuery({
    queryKey: ["runs", entity, project, search, order],
    queryFn: ({ signal, pageParam }) =>
      ask(
        Runs,
        { entity, project, first: RUNS_PAGE, after: pageParam, order, search: serverSearch(search) },
        signal,
      ),
    enabled: project !== "",
    initialPageParam: null as string | null,
    getNextPageParam: ({ project: found }) => {
      const page = found?.runs.pageInfo;
      return page?.hasNextPage === true ? page.endCursor : null;
    },
    refetchInterval: STATE_INTERVAL_MS,
    placeholderData: (last, lastQuery) => (isOf(lastQuery, entity, project) ? last : undefined),
  });
  const { data } = query;
  const list = useMemo<RunList | undefined>(
    () =>
      data && {
        runs: data.pages.flatMap((page) => page.project?.runs.edges.map((edge) => edge.node) ?? []),
        totalCount: data.pages[0]?.project?.runs.totalCount ?? 0,
      },
    [data],
  );
  return { ...query, list };
}

/** All metric keys of a project, or of some of its runs, in natural order. */
export function useMetricKeys(
  { entity, project }: ProjectRef,
  stream: Stream,
  runs: readonly string[] | null = null,
) {
  return useQuery({
    queryKey: ["keys", entity, project, stream, runs],
    enabled: project !== "",
    queryFn: async ({ signal }) => {
      const keys: KeyItem[] = [];
      let after: string | null = null;
      do {
        const answer: Awaited<ReturnType<typeof askKeys>> = await askKeys(after, signal);
        keys.push(...(answer?.edges.map((edge) => edge.node) ?? []));
        after = answer?.pageInfo.hasNextPage === true ? answer.pageInfo.endCursor : null;
      } while (after !== null);
      return keys;
    },
    placeholderData: (last, lastQuery) => (isOf(lastQuery, entity, project) ? last : undefined),
  });

  async function askKeys(after: string | null, signal: AbortSignal) {
    const answer = await ask(MetricKeys, { entity, project, stream, runs, first: KEYS_PAGE, after }, signal);
    return answer.project?.metricKeys;
  }
}

/** Everything about one run but its history; null if there is no such run. */
export function useRun({ entity, project }: ProjectRef, run: string) {
  return useQuery({
    queryKey: ["run", entity, project, run],
    queryFn: ({ signal }) => ask(RunPage, { entity, project, run }, signal),
    select: (answer) => answer.project?.run ?? null,
    refetchInterval: STATE_INTERVAL_MS,
  });
}

export type { DefinitionItem, KeyItem, RunItem };
export { isSignedOut };
