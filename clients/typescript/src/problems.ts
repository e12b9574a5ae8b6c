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

/** 401: no API key was sent, or one that is not valid; or the user token of a browser key is not valid. */
export class UnauthorizedError extends ProblemError {
  override name = "UnauthorizedError";
}

/** 403: the API key does not allow this operation; `problem.detail` names the scope that is missing. */
export class ForbiddenError extends ProblemError {
  override name = "ForbiddenError";
}

/** 429: the API key has made too many requests. */
export class RateLimitedError extends ProblemError {
  override name = "RateLimitedError";
}

const BY_STATUS = new Map([
  [401, UnauthorizedError],
  [403, ForbiddenError],
  [429, RateLimitedError],
]);

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
  const Kind = BY_STATUS.get(response.status) ?? ProblemError;
  throw new Kind(response.status, problem, operation);
}
