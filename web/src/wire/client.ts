/** The one place that talks to the server; nothing else calls `fetch` or opens an event stream. */
import { errorOf, errorOfGraphQL, type GraphQLErrorBody, unreachable } from "./errors";
import type { Operation } from "./operations.gen";
import { decodeSeries, type SeriesAnswer, type SeriesRequest } from "./series";

const JSON_HEADERS = { "Content-Type": "application/json" };

/** Sends a request; a server that does not answer becomes an `ApiError` like any other failure. */
async function send(path: string, init: RequestInit): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(path, { ...init, credentials: "same-origin" });
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw unreachable();
  }
  if (response.ok) return response;
  throw errorOf(response.status, await response.json().catch(() => null));
}

/**
 * Asks the control plane.
 *
 * @throws ApiError with the server's code, message and hint.
 */
export async function ask<Result, Variables>(
  operation: Operation<Result, Variables>,
  variables: Variables,
  signal?: AbortSignal,
): Promise<Result> {
  const body = JSON.stringify({ query: operation.text, variables });
  const response = await send("/graphql", {
    method: "POST",
    headers: JSON_HEADERS,
    body,
    signal: signal ?? null,
  });
  const answer = (await response.json()) as { data?: Result | null; errors?: readonly GraphQLErrorBody[] };
  const error = answer.errors?.[0];
  if (error !== undefined) throw errorOfGraphQL(response.status, error);
  if (answer.data == null) throw errorOf(response.status, null);
  return answer.data;
}

/** Reads the buckets of many series in one request; the answers are in the order of `queries`. */
export async function askSeries(request: SeriesRequest, signal?: AbortSignal): Promise<SeriesAnswer[]> {
  const response = await send("/api/series", {
    method: "POST",
    headers: JSON_HEADERS,
    body: JSON.stringify(request),
    signal: signal ?? null,
  });
  return decodeSeries(await response.arrayBuffer());
}

/** One line that a run printed. */
export interface ConsoleLine {
  readonly sequence: number;
  /** Unix seconds. */
  readonly time: number;
  readonly stream: "stdout" | "stderr";
  readonly text: string;
}

export interface ConsoleAnswer {
  readonly lines: readonly ConsoleLine[];
  /** The sequence to ask for after these lines. */
  readonly next: number;
  readonly total: number;
}

export interface ConsoleRequest {
  readonly entity: string;
  readonly project: string;
  readonly run: string;
  readonly after?: number;
  readonly before?: number;
  readonly limit?: number;
}

/** Reads console lines of a run: the newest ones, or those after or before a sequence. */
export async function askConsole(request: ConsoleRequest, signal?: AbortSignal): Promise<ConsoleAnswer> {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(request)) query.set(name, String(value));
  const response = await send(`/api/console?${query.toString()}`, { signal: signal ?? null });
  return (await response.json()) as ConsoleAnswer;
}
