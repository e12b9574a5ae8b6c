import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";

const ROOT = new URL("../../", import.meta.url); // tests run compiled, in dist/test

test("the session of the README is the one that is compiled and run", async () => {
  const readme = await readFile(new URL("README.md", ROOT), "utf8");
  const session = await readFile(new URL("examples/session.ts", ROOT), "utf8");
  assert.ok(readme.includes("```ts\n" + session + "```\n"));
});
