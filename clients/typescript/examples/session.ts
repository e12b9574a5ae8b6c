import { ProblemError, Reckon } from "reckon-client";

const reckon = new Reckon(process.env["RECKON_ADDRESS"] ?? "http://127.0.0.1:8000");

await reckon.put("/items/{item_id}", {
  params: { path: { item_id: "260" } },
  body: { title: "Star Wars", categories: ["Action", "Sci-Fi"], year: 1977 },
});
await reckon.rate("ann", "260", 5);

const list = await reckon.recommendations("ann", { limit: 10, fields: ["title,image_url"] });
for (const item of list.items) console.log(item.item_id, item.title);

await reckon.send([
  { type: "clicked", user_id: "ann", item_id: "260", recommendation_id: list.recommendation_id },
]);

for await (const page of reckon.pages((cursor) =>
  reckon.get("/items", { params: { query: { limit: 100, cursor } } }),
)) {
  console.log(page.items.length, "items");
}

try {
  await reckon.rate("ann", "260", 1_000);
} catch (error) {
  if (!(error instanceof ProblemError)) throw error;
  console.log(error.status, error.problem?.field, error.problem?.detail);
}
