import createClient from "openapi-fetch";
import type { Client, MaybeOptionalInit } from "openapi-fetch";
import type { PathsWithMethod, Readable, RequiredKeysOf, ResponseObjectMap, SuccessResponse } from "openapi-typescript-helpers";

import type { components, paths } from "./openapi.js";
import { throwProblem } from "./problems.js";
import { DEFAULT_RETRIES, fetchWithRetries } from "./retries.js";
import type { Retries } from "./retries.js";

export interface ReckonOptions {
  /** Sent with every request: a secret key from a backend, a browser key from a page. */
  apiKey?: string;
  /** Sent beside a browser key: made by `POST /tokens` for the user of the page. */
  userToken?: string;
  /** Sent with every request, for example the authorization that a proxy in front of the service wants. */
  headers?: Record<string, string>;
  /** The time for one call with all its attempts. */
  timeoutMs?: number;
  /** How failed requests are repeated; `{ attempts: 1 }` turns repetition off. */
  retries?: Partial<Retries>;
  /** Replaces `globalThis.fetch`, for example in tests. */
  fetch?: typeof globalThis.fetch;
}

type Method = "get" | "put" | "post" | "patch" | "delete";

/** The arguments after the path: optional where the operation has no required parameter and no body. */
type Arguments<Init> = RequiredKeysOf<Init> extends never ? [init?: Init] : [init: Init];

/** The JSON of the answer of an operation; `undefined` where it answers without content. */
type Answer<Operation> =
  Operation extends Record<string | number, unknown>
    ? Readable<SuccessResponse<ResponseObjectMap<Operation>, "application/json">>
    : never;

/** An answer that is one page of many. */
interface Page {
  next_cursor?: string | null;
}

type Schemas = components["schemas"];
type ListOptions = NonNullable<paths["/users/{user_id}/recommendations"]["get"]["parameters"]["query"]>;

/** An event to send. `event_id` is made by the client where it is missing. */
export type NewEvent = Omit<Schemas["EventIn"], "event_id"> & { event_id?: string };

/**
 * A client of one Reckon service; share one between all callers.
 *
 * `get`, `put`, `post`, `patch` and `delete` call any operation by its path in the OpenAPI document, typed by it. They
 * return the JSON of the answer, and throw a `ProblemError` for an error status. The methods below them are short forms
 * of the most frequent operations.
 */
export class Reckon {
  /** The generated client, for headers and entity tags of answers. It throws and repeats as this one does. */
  readonly http: Client<paths>;

  constructor(address: string, options: ReckonOptions = {}) {
    if (!/^https?:$/.test(new URL(address).protocol)) throw new TypeError(`${address} is no HTTP address`);
    const { apiKey, userToken, headers = {}, timeoutMs = 10_000, retries = {}, fetch = globalThis.fetch } = options;
    this.http = createClient<paths>({
      baseUrl: address,
      headers: {
        ...(apiKey === undefined ? {} : { Authorization: `Bearer ${apiKey}` }),
        ...(userToken === undefined ? {} : { "X-User-Token": userToken }),
        ...headers,
      },
      fetch: fetchWithRetries({ ...DEFAULT_RETRIES, ...retries }, timeoutMs, fetch),
    });
    this.http.use({
      onRequest: ({ request }) => {
        // Also without a body: the service refuses changes that a web page could request without asking first.
        if (request.method !== "GET" && !request.headers.has("content-type")) {
          request.headers.set("content-type", "application/json");
        }
      },
      onResponse: async ({ request, response, schemaPath }) => {
        if (response.status >= 400) await throwProblem(response, `${request.method} ${schemaPath}`);
      },
    });
  }

  get<P extends PathsWithMethod<paths, "get">, I extends MaybeOptionalInit<paths[P], "get">>(path: P, ...init: Arguments<I>): Promise<Answer<paths[P]["get"]>> {
    return this.#call("get", path, init[0]);
  }

  put<P extends PathsWithMethod<paths, "put">, I extends MaybeOptionalInit<paths[P], "put">>(path: P, ...init: Arguments<I>): Promise<Answer<paths[P]["put"]>> {
    return this.#call("put", path, init[0]);
  }

  post<P extends PathsWithMethod<paths, "post">, I extends MaybeOptionalInit<paths[P], "post">>(path: P, ...init: Arguments<I>): Promise<Answer<paths[P]["post"]>> {
    return this.#call("post", path, init[0]);
  }

  patch<P extends PathsWithMethod<paths, "patch">, I extends MaybeOptionalInit<paths[P], "patch">>(path: P, ...init: Arguments<I>): Promise<Answer<paths[P]["patch"]>> {
    return this.#call("patch", path, init[0]);
  }

  delete<P extends PathsWithMethod<paths, "delete">, I extends MaybeOptionalInit<paths[P], "delete">>(path: P, ...init: Arguments<I>): Promise<Answer<paths[P]["delete"]>> {
    return this.#call("delete", path, init[0]);
  }

  /** The items recommended to a user. */
  recommendations(userId: string, options: ListOptions = {}) {
    return this.get("/users/{user_id}/recommendations", { params: { path: { user_id: userId }, query: options } });
  }

  /** Store a rating. The next list of this user takes it into account. */
  rate(userId: string, itemId: string, value: number) {
    return this.post("/ratings", { body: { user_id: userId, item_id: itemId, value } });
  }

  /**
   * Store up to 1,000 events. An event without an id gets a random one before the first attempt, so that the service
   * stores it once however often it is sent. Keep the id yourself where you may send the event again later.
   */
  send(events: readonly NewEvent[]) {
    const identified = events.map((event) => ({ event_id: crypto.randomUUID(), ...event }));
    return this.post("/events", { body: { events: identified } });
  }

  /**
   * All pages of a listing, one request each: `page` makes the request for the cursor it is given, the first time
   * without one.
   */
  async *pages<T extends Page>(page: (cursor?: string) => Promise<T>): AsyncGenerator<T, void, undefined> {
    let cursor: string | undefined;
    do {
      const answer = await page(cursor);
      yield answer;
      cursor = answer.next_cursor ?? undefined;
    } while (cursor !== undefined);
  }

  async #call<T>(method: Method, path: string, init: unknown): Promise<T> {
    // `request` is generic in the method and the path; the callers above have checked both, and the arguments.
    const { data } = await (this.http.request as (...all: unknown[]) => Promise<{ data?: T }>)(method, path, init);
    return data as T;
  }
}
