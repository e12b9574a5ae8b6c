import { ConnectionFailedError } from "./problems.js";

/** How failed requests are repeated. */
export interface Retries {
  /** The largest number of attempts for one request, the first included. */
  attempts: number;
  /** Bounds the random delay before the second attempt; the bound doubles with each further attempt. */
  firstDelayMs: number;
  /** The largest bound of a random delay. */
  longestDelayMs: number;
}

export const DEFAULT_RETRIES: Retries = { attempts: 3, firstDelayMs: 100, longestDelayMs: 2_000 };

/** The service, or a proxy in front of it, is busy or restarting. */
const WORTH_REPEATING = new Set([429, 502, 503, 504]);

const KEY = "Idempotency-Key";

/**
 * A `fetch` that repeats failed requests until the time is over. The time covers all attempts.
 *
 * All attempts of a POST have one `Idempotency-Key`, by which the service carries out one of them. It is that of the
 * request where the caller gave one. A request for a new API key is never repeated: each would make a key.
 */
export function fetchWithRetries(
  retries: Retries,
  timeoutMs: number,
  send: typeof globalThis.fetch,
): (request: Request) => Promise<Response> {
  return async (request) => {
    if (request.method === "POST" && !request.headers.has(KEY)) request.headers.set(KEY, crypto.randomUUID());
    const operation = `${request.method} ${new URL(request.url).pathname}`;
    const deadline = performance.now() + timeoutMs;
    const signal = AbortSignal.any([request.signal, AbortSignal.timeout(timeoutMs)]);
    for (let attempt = 1; ; attempt++) {
      let response: Response | undefined;
      let failure: unknown;
      try {
        response = await send(new Request(request.clone(), { signal })); // a body can be read only once
        if (!WORTH_REPEATING.has(response.status)) return response;
      } catch (error) {
        request.signal.throwIfAborted(); // the caller gave up
        failure = error;
      }
      const delay = delayMs(retries, attempt, retryAfterMs(response));
      const isLast = attempt >= retries.attempts || performance.now() + delay >= deadline || !isRepeatable(request);
      if (isLast && response) return response;
      if (isLast) throw new ConnectionFailedError(`${operation}: ${reasonOf(failure)}`, { cause: failure });
      await response?.body?.cancel(); // frees the connection
      await new Promise((resolve) => setTimeout(resolve, delay));
    }
  };
}

/** Whether the service carries out one of several attempts. It keeps no answer that holds a secret. */
function isRepeatable(request: Request): boolean {
  return request.method !== "POST" || !new URL(request.url).pathname.endsWith("/keys");
}

/** What the service asks for, if anything, plus a random time, so that clients which failed together do not return together. */
function delayMs(retries: Retries, attempt: number, retryAfter: number): number {
  // retry_after + U(0, min(longest, first * 2^(n - 1))), U being the uniform distribution ("full jitter").
  return retryAfter + Math.random() * Math.min(retries.longestDelayMs, retries.firstDelayMs * 2 ** (attempt - 1));
}

/** `Retry-After` in milliseconds, 0 where the response has none. The service sends seconds, never a date. */
function retryAfterMs(response: Response | undefined): number {
  const seconds = Number(response?.headers.get("retry-after") ?? 0);
  return Number.isFinite(seconds) ? Math.max(0, seconds) * 1_000 : 0;
}

function reasonOf(failure: unknown): string {
  if (failure instanceof DOMException && failure.name === "TimeoutError") return "no answer in time";
  if (!(failure instanceof Error)) return String(failure);
  return failure.cause instanceof Error ? failure.cause.message : failure.message; // Node gives the reason as the cause
}
