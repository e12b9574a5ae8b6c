import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";
import { promisify } from "node:util";

import { ProblemError, Reckon } from "../src/index.js";

const RECKON = process.env["RECKON"] ?? new URL("../../../../.venv/bin/reckon", import.meta.url).pathname;
const folder = await mkdtemp(join(tmpdir(), "reckon-"));
const environment = { ...process.env, RECKON_DATA_DIR: folder, RECKON_DATABASE_URL: "" };
let address = "";
let stop = async () => {};

before(async () => {
  await promisify(execFile)(RECKON, ["migrate"], { env: environment });
  const service = spawn(RECKON, ["serve", "--port", "0", "--no-worker"], { env: environment, stdio: ["ignore", "pipe", "ignore"] });
  stop = async () => {
    service.kill("SIGINT");
    await once(service, "exit");
  };
  for await (const line of createInterface(service.stdout)) {
    const found = / at (http:\S+)/.exec(line);
    if (found?.[1]) {
      address = found[1];
      return;
    }
  }
});

after(async () => {
  await stop();
  await rm(folder, { recursive: true });
});

test("what is written is in the next list", async () => {
  const reckon = new Reckon(address);
  for (const item_id of ["a", "b", "c"]) {
    await reckon.put("/items/{item_id}", { params: { path: { item_id } }, body: { title: item_id.toUpperCase() } });
  }
  const rated = await reckon.rate("ann", "a", 5);
  assert.equal(rated.value, 5);
  const { items, strategy } = await reckon.recommendations("ann", { limit: 2 });
  assert.deepEqual(items.map((item) => item.title).sort(), ["B", "C"]);
  assert.equal(strategy, "popular");
  assert.equal(await reckon.delete("/users/{user_id}", { params: { path: { user_id: "ann" } } }), undefined);
});

test("a problem of the service", async () => {
  const error = await new Reckon(address).rate("ann", "a", 1_000).catch((each: unknown) => each);
  assert.ok(error instanceof ProblemError);
  assert.equal(error.status, 422);
  assert.equal(error.problem?.field, "body.value");
});

test("events are stored once", async () => {
  const reckon = new Reckon(address);
  const event = { event_id: "once", type: "clicked", user_id: "bob", item_id: "a" };
  assert.equal((await reckon.send([event])).stored, 1);
  assert.equal((await reckon.send([event])).unchanged, 1);
});

test("the session of the README", async () => {
  const example = new URL("../examples/session.js", import.meta.url).pathname;
  const { stdout } = await promisify(execFile)(process.execPath, [example], { env: { ...process.env, RECKON_ADDRESS: address } });
  assert.match(stdout, /422 body.value 1000/);
});
