export { Reckon } from "./client.js";
export type { NewEvent, ReckonOptions } from "./client.js";
export type { components, paths } from "./openapi.js";
export { ConnectionFailedError, ProblemError, ReckonError } from "./problems.js";
export type { Problem } from "./problems.js";
export type { Retries } from "./retries.js";
