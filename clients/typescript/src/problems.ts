import type { components } from "./openapi.js";

/** An RFC 9457 problem document, as the service answers every error. */
export type Problem = components["schemas"]["Problem"];

/** The base of all errors that the client throws. */
export class ReckonError extends Error {
  override name = "ReckonError";
}

/** The service answered with an error status. */
export class ProblemError extends ReckonError {
  override name = "ProblemError";

  constructor(
    /** The HTTP status. */
    readonly status: number,
    /** The problem document; `undefined` where the answer was not one, for example that of a proxy. */
    readonly problem: Problem | undefined,
    /** The request that failed, as `METHOD /path`. */
    readonly operation: string,
  ) {
    super(`${operation}: ${status} ${problem?.detail ?? problem?.title ?? "without a problem document"}`);
  }
}

/** No answer came: the connection failed, or the time was over. `cause` holds the error of `fetch`. */
export class ConnectionFailedError extends ReckonError {
  override name = "ConnectionFailedError";
}

/** Throws the `ProblemError` of a response with an error status. */
export async function throwProblem(response: Response, operation: string): Promise<never> {
  let problem: Problem | undefined;
  if (response.headers.get("content-type")?.startsWith("application/problem+json")) {
    problem = (await response.json()) as Problem;
  }
  throw new ProblemError(response.status, problem, operation);
}
