/** What the server says when it cannot answer: one shape for the data plane and for GraphQL. */
interface ErrorBody {
  readonly code?: string;
  readonly message?: string;
  readonly hint?: string | null;
  readonly where?: string | null;
}

/** A question that got no answer: what happened, and what to do about it. */
export class ApiError extends Error {
  override readonly name = "ApiError";
  /** Names the kind of failure, for code to branch on: `project_not_found`, `unreachable`, … */
  readonly code: string;
  /** What a person can do next; empty if nothing is known. */
  readonly hint: string;
  /** HTTP status, 0 if the server could not be reached. */
  readonly status: number;

  constructor(message: string, facts: { code: string; hint?: string; status?: number }) {
    super(message);
    this.code = facts.code;
    this.hint = facts.hint ?? "";
    this.status = facts.status ?? 0;
  }
}

/** The session cookie is missing or no longer valid: only a fresh sign-in link helps. */
export function isSignedOut(error: unknown): boolean {
  return error instanceof ApiError && (error.status === 401 || error.status === 403);
}

/** Returns the error for a network failure: the server is not there. */
export function unreachable(): ApiError {
  return new ApiError("The Epochal server does not answer.", {
    code: "unreachable",
    hint: "Start it with: epochal ui. This page goes on by itself once it is back.",
  });
}

/** Returns the error that a body of the shape `{"error": {…}}` stands for; any other body is told by its status. */
export function errorOf(status: number, body: unknown): ApiError {
  const error = (body as { error?: ErrorBody } | null)?.error;
  const message = error?.message ?? `The server answered with status ${status}.`;
  return new ApiError(message, { code: error?.code ?? `http_${status}`, hint: error?.hint ?? "", status });
}

/** One entry of GraphQL's `errors`: the facts are in its extensions. */
export interface GraphQLErrorBody {
  readonly message: string;
  readonly extensions?: ErrorBody;
}

/** Returns the error for the first entry of GraphQL's `errors`. */
export function errorOfGraphQL(status: number, error: GraphQLErrorBody): ApiError {
  const { code = "graphql_error", hint } = error.extensions ?? {};
  return new ApiError(error.message, { code, hint: hint ?? "", status });
}
