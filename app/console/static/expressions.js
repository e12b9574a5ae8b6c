// Offers the names that an expression may hold, while one is typed.
"use strict";

const LAST_WORD = /["`]?[\p{L}\p{N}_.-]*$/u;
const MAX_OFFERED = 8;

function offer(input) {
  const words = JSON.parse(input.parentElement.querySelector('script[type="application/json"]').textContent);
  const list = document.createElement("div");
  list.className = "offered";
  list.hidden = true;
  list.setAttribute("role", "group");
  list.setAttribute("aria-label", "Names to insert");
  input.after(list);

  function insert(word) {
    const end = input.selectionStart;
    const start = input.value.slice(0, end).search(LAST_WORD);
    input.setRangeText(`${word} `, start, end, "end");
    input.focus();
    input.dispatchEvent(new Event("input", { bubbles: true }));
  }

  function show() {
    const typed = input.value.slice(0, input.selectionStart).match(LAST_WORD)[0];
    const wanted = typed.replace(/^["`]/, "").toLowerCase();
    const fitting = typed ? words.filter((word) => word.toLowerCase().replace(/^["`]/, "").startsWith(wanted) && word !== typed) : [];
    list.replaceChildren(...fitting.slice(0, MAX_OFFERED).map((word) => {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "chip";
      button.textContent = word;
      button.addEventListener("click", () => insert(word));
      return button;
    }));
    list.hidden = !fitting.length;
  }

  input.addEventListener("input", show);
  input.addEventListener("keydown", (event) => {
    if (event.key === "Escape") list.hidden = true;
    if (event.key === "ArrowDown" && !list.hidden) {
      event.preventDefault();
      list.firstElementChild.focus();
    }
  });
}

for (const input of document.querySelectorAll("input.expression, textarea.expression")) offer(input);
