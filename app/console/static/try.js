// Ratings by stars without a button, focus that follows the rated item, and covers that glide to their new places.
"use strict";

const KEYBOARD_PAUSE = 700; // ms: arrow keys pass the stars in between
let byPointer = false;
let pending = 0;
let rated = null;

document.addEventListener("pointerdown", () => { byPointer = true; });
document.addEventListener("keydown", () => { byPointer = false; });

document.addEventListener("change", (event) => {
  if (!event.target.matches(".stars input")) return;
  const form = event.target.form;
  clearTimeout(pending);
  pending = setTimeout(() => { if (form.isConnected) form.requestSubmit(); }, byPointer ? 0 : KEYBOARD_PAUSE);
});
document.addEventListener("submit", () => clearTimeout(pending));

document.addEventListener("htmx:beforeRequest", (event) => {
  const form = event.detail.elt;
  rated = form.matches(".rate") ? form.elements.namedItem("item").value : null;
});

// The rated item leaves the list: its form among the ratings gets the focus, unless the reader has gone elsewhere.
document.addEventListener("htmx:afterSettle", () => {
  if (rated === null) return;
  if (document.activeElement && document.activeElement !== document.body) return;
  const form = [...document.querySelectorAll(".try-rated .rate")].find((each) => each.elements.namedItem("item").value === rated);
  const target = form?.querySelector("input:checked, button[aria-pressed=true], input[type=number]");
  if (target) target.focus({ preventScroll: true });
});

// By the API for animations, since the policy allows no style in the page.
let places = new Map();
const covers = () => document.querySelectorAll(".listed > li");

document.addEventListener("htmx:beforeSwap", () => {
  places = new Map([...covers()].map((each) => [each.dataset.item, each.getBoundingClientRect()]));
});
document.addEventListener("htmx:afterSwap", (event) => {
  if (event.detail.target.id !== "try" || matchMedia("(prefers-reduced-motion: reduce)").matches) return;
  const moves = [...covers()].map((each) => [each, places.get(each.dataset.item), each.getBoundingClientRect()]);
  for (const [each, before, now] of moves) {
    const from = before
      ? { transform: `translate(${before.left - now.left}px, ${before.top - now.top}px)` }
      : { opacity: 0, transform: "scale(.9)" };
    each.animate([from, { opacity: 1, transform: "none" }], { duration: 350, easing: "ease-out" });
  }
});
