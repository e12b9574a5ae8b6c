export { Reckon } from "./client.js";
export type { NewEvent, ReckonOptions } from "./client.js";
export type { components, paths } from "./openapi.js";
export { ConnectionFailedError, ForbiddenError, ProblemError, RateLimitedError, ReckonError, UnauthorizedError } from "./problems.js";
export type { Problem } from "./problems.js";
export type { Retries } from "./retries.js";
