import assert from "node:assert/strict";
import { test } from "node:test";

import { ConnectionFailedError, ForbiddenError, ProblemError, RateLimitedError, Reckon, UnauthorizedError } from "../src/index.js";
import { reply, scripted } from "./server.js";

const FAST = { firstDelayMs: 1, longestDelayMs: 1 };
const PROBLEM = { type: "about:blank", title: "Unprocessable", status: 422, detail: "7.5 is not on the scale", field: "body.value" };

test("a busy service is asked again, and the answer returned", async (context) => {
  const { address, received } = await scripted(context, reply(503, {}), reply(429, {}), reply(200, { status: "ok" }));
  const reckon = new Reckon(address, { retries: FAST });
  assert.deepEqual(await reckon.get("/livez"), { status: "ok" });
  assert.equal(received.length, 3);
});

test("a body is sent again with every attempt", async (context) => {
  const { address, received } = await scripted(context, reply(503, {}), reply(201, {}));
  await new Reckon(address, { retries: FAST }).rate("ann", "260", 5);
  assert.equal(received.length, 2);
  for (const { body } of received) assert.deepEqual(JSON.parse(body), { user_id: "ann", item_id: "260", value: 5 });
});

test("the number of attempts is limited", async (context) => {
  const { address, received } = await scripted(context, reply(503, {}), reply(503, {}), reply(503, {}), reply(200, {}));
  const reckon = new Reckon(address, { retries: FAST });
  await assert.rejects(reckon.get("/livez"), { name: "ProblemError", status: 503 });
  assert.equal(received.length, 3);
});

test("the attempts of a POST have one key", async (context) => {
  const { address, received } = await scripted(context, reply(503, {}), reply(202, {}), reply(202, {}));
  const reckon = new Reckon(address, { retries: FAST });
  await reckon.post("/training-jobs", { body: {} });
  await reckon.post("/training-jobs", { body: {} });
  const keys = received.map(({ headers }) => headers["idempotency-key"]);
  assert.equal(keys.length, 3);
  assert.ok(keys[0] && keys[0] === keys[1] && keys[0] !== keys[2]);
});

test("a key of the caller is sent", async (context) => {
  const { address, received } = await scripted(context, reply(202, {}));
  await new Reckon(address).post("/training-jobs", { body: {}, headers: { "Idempotency-Key": "mine" } });
  assert.equal(received[0]?.headers["idempotency-key"], "mine");
});

test("Retry-After is respected, unless the time would be over", async (context) => {
  const { address, received } = await scripted(context, reply(503, {}, { "retry-after": "60" }));
  const reckon = new Reckon(address, { retries: FAST, timeoutMs: 5_000 });
  await assert.rejects(reckon.get("/livez"), { status: 503 });
  assert.equal(received.length, 1);
});

test("an error holds the problem document", async (context) => {
  const { address } = await scripted(context, reply(422, PROBLEM, { "content-type": "application/problem+json" }));
  const error = await new Reckon(address).rate("ann", "260", 7.5).catch((each: unknown) => each);
  assert.ok(error instanceof ProblemError);
  assert.equal(error.status, 422);
  assert.equal(error.problem?.field, "body.value");
  assert.equal(error.message, "POST /ratings: 422 7.5 is not on the scale");
});

test("an API key and a user token are sent", async (context) => {
  const { address, received } = await scripted(context, reply(200, {}));
  await new Reckon(address, { apiKey: "rb_x", userToken: "ut_x" }).get("/livez");
  assert.equal(received[0]?.headers.authorization, "Bearer rb_x");
  assert.equal(received[0]?.headers["x-user-token"], "ut_x");
});

test("a refusal has a class", async (context) => {
  const kinds = [[401, UnauthorizedError], [403, ForbiddenError], [429, RateLimitedError]] as const;
  for (const [status, kind] of kinds) {
    const { address } = await scripted(context, reply(status, PROBLEM, { "retry-after": "60" }));
    await assert.rejects(new Reckon(address, { timeoutMs: 1_000 }).get("/livez"), kind);
  }
});

test("an error of a proxy has no problem document", async (context) => {
  const { address } = await scripted(context, (response) => response.writeHead(404).end("<html>"));
  await assert.rejects(new Reckon(address).get("/livez"), { status: 404, problem: undefined });
});

test("no answer in time", async (context) => {
  const { address, received } = await scripted(context, () => undefined);
  const error = await new Reckon(address, { timeoutMs: 50 }).get("/livez").catch((each: unknown) => each);
  assert.ok(error instanceof ConnectionFailedError);
  assert.match(error.message, /^GET \/livez: /);
  assert.equal(received.length, 1);
});

test("nothing listens at the address", async () => {
  const reckon = new Reckon("http://127.0.0.1:9", { retries: FAST });
  await assert.rejects(reckon.get("/livez"), ConnectionFailedError);
});

test("the caller gives up", async (context) => {
  const { address, received } = await scripted(context, () => undefined);
  const reckon = new Reckon(address);
  const giveUp = new AbortController();
  setTimeout(() => giveUp.abort(new Error("enough")), 20);
  await assert.rejects(reckon.get("/livez", { signal: giveUp.signal }), /enough/);
  assert.equal(received.length, 1);
});

test("events get ids, the same in every attempt", async (context) => {
  const { address, received } = await scripted(context, reply(503, {}), reply(200, {}));
  const reckon = new Reckon(address, { retries: FAST });
  await reckon.send([
    { type: "clicked", user_id: "ann", item_id: "260" },
    { type: "clicked", user_id: "ann", item_id: "260", event_id: "mine" },
  ]);
  const [first, second] = received.map(({ body }) => JSON.parse(body).events as { event_id: string }[]);
  assert.deepEqual(first, second);
  assert.match(first?.[0]?.event_id ?? "", /^[0-9a-f-]{36}$/);
  assert.equal(first?.[1]?.event_id, "mine");
});

test("ids are escaped in paths, and lists are repeated parameters", async (context) => {
  const { address, received } = await scripted(context, reply(200, { items: [] }));
  await new Reckon(address).recommendations("a b?c=ü", { exclude: ["1", "2&3"] });
  assert.equal(received[0]?.path, "/users/a%20b%3Fc%3D%C3%BC/recommendations?exclude=1&exclude=2%263");
});

test("pages end where no cursor is left", async (context) => {
  const { address, received } = await scripted(
    context,
    reply(200, { items: [1], next_cursor: "x" }),
    reply(200, { items: [2], next_cursor: null }),
  );
  const reckon = new Reckon(address);
  const items = [];
  for await (const page of reckon.pages((cursor) => reckon.get("/items", { params: { query: { cursor } } }))) items.push(...page.items);
  assert.deepEqual(items, [1, 2]);
  assert.deepEqual(received.map(({ path }) => path), ["/items", "/items?cursor=x"]);
});

test("an address that is none", () => {
  assert.throws(() => new Reckon("127.0.0.1:8000"), TypeError);
  assert.throws(() => new Reckon("ftp://127.0.0.1"), TypeError);
});
