// What htmx and the server do not do: plots, times in the viewer's zone, the token of the session's forms.
"use strict";

const HEADER = "X-Form-Token";
const CATALOGUE = document.querySelector('meta[name="catalogue"]').content;
let formToken = document.querySelector('meta[name="form-token"]').content;

// Sent as a header, because htmx also sends what is in no form.
document.addEventListener("htmx:configRequest", (event) => {
  event.detail.headers[HEADER] = formToken;
  event.detail.headers["X-Catalogue"] = CATALOGUE;
  // The session of a page that nobody looks at ends, however often it renews itself.
  if (event.detail.triggeringEvent?.type === "hx:poll:trigger") event.detail.headers["X-Poll"] = "1";
});

// After a new log-in in another tab, the service refuses the token of this page and answers that of the session.
function renewToken(request) {
  const renewed = request.getResponseHeader(HEADER);
  if (!renewed) return;
  formToken = renewed;
  for (const input of document.querySelectorAll('input[name="form_token"]')) input.value = renewed;
}

document.addEventListener("htmx:beforeSwap", (event) => renewToken(event.detail.xhr));

document.addEventListener("htmx:sendError", () => {
  document.getElementById("message").textContent = "The service does not answer. Try again in a moment.";
});

function showTimes(part) {
  const zone = new Intl.DateTimeFormat([], { dateStyle: "medium", timeStyle: "short" });
  for (const element of part.querySelectorAll("time[datetime]")) {
    const moment = new Date(element.dateTime);
    if (element.classList.contains("ago")) element.title = zone.format(moment);
    else element.textContent = zone.format(moment);
  }
}

// A picture that cannot be loaded leaves the generated cover below it.
function watchPictures(part) {
  for (const image of part.querySelectorAll(".cover img")) {
    image.addEventListener("error", () => image.remove(), { once: true });
    if (image.complete && image.naturalWidth === 0) image.remove();
  }
}

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function theme() {
  const text = colour("--text"), line = colour("--line");
  const categories = [0, 1, 2, 3, 4, 5, 6, 7].map((n) => colour(`--s${n}`));
  return {
    background: null,
    font: "system-ui, sans-serif",
    axis: { labelColor: text, titleColor: text, gridColor: line, domainColor: line, tickColor: line, titleFontWeight: "normal" },
    legend: { labelColor: text, titleColor: text },
    header: { labelColor: text, titleColor: text },
    title: { color: text },
    view: { stroke: null },
    mark: { color: categories[0] },
    text: { color: text },
    rule: { color: colour("--quiet") },
    range: { category: categories, heatmap: ["#d5e0fb", categories[0]], ramp: ["#d5e0fb", categories[0]] },
  };
}

// `ast`: expressions are interpreted, since the Content-Security-Policy allows no code made of texts.
function draw(element) {
  const source = element.querySelector('script[type="application/json"]');
  if (!source || typeof vegaEmbed === "undefined") return;
  const target = document.createElement("div");
  element.append(target);
  vegaEmbed(target, JSON.parse(source.textContent), {
    actions: false,
    ast: true,
    config: theme(),
    defaultStyle: false,
    renderer: "canvas",
    tooltip: { disableDefaultStyle: true },
  }).catch((error) => {
    target.textContent = "The plot cannot be drawn. Its values are below.";
    console.error(error);
  });
}

document.addEventListener("submit", (event) => {
  const question = event.target.dataset.confirm;
  if (question && !confirm(question)) event.preventDefault();
});

function dress(part) {
  showTimes(part);
  watchPictures(part);
  for (const element of part.querySelectorAll(".drawing")) draw(element);
}

document.addEventListener("DOMContentLoaded", () => dress(document));
// What htmx has put into the page.
document.addEventListener("htmx:load", (event) => {
  if (event.detail.elt !== document.body) dress(event.detail.elt);
});
// Only the plots have colours of their own. To load the page anew would lose what has been typed.
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  for (const element of document.querySelectorAll(".drawing")) {
    element.querySelector(":scope > div")?.remove();
    draw(element);
  }
});

// A file that is dropped on the form of imports, and how much of it has been sent.
for (const form of document.querySelectorAll("form.drop")) {
  const input = form.querySelector('input[type="file"]');
  form.addEventListener("dragover", (event) => {
    event.preventDefault();
    form.classList.add("over");
  });
  form.addEventListener("dragleave", () => form.classList.remove("over"));
  form.addEventListener("drop", (event) => {
    event.preventDefault();
    form.classList.remove("over");
    const files = event.dataTransfer.files, message = document.getElementById("message");
    message.textContent = files.length > 1 ? "Drop one file at a time, or an archive that holds them." : "";
    if (files.length === 1) input.files = files;
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const progress = form.querySelector("progress"), button = form.querySelector("button");
    const message = document.getElementById("message");
    const sent = new XMLHttpRequest();
    progress.hidden = false;
    button.disabled = true;
    sent.upload.addEventListener("progress", (step) => {
      if (step.lengthComputable) progress.value = step.loaded / step.total;
    });
    const failed = (text) => {
      message.textContent = text;
      progress.hidden = true;
      button.disabled = false;
    };
    sent.addEventListener("load", () => {
      if (sent.status < 400) location.assign(sent.responseURL);
      else {
        renewToken(sent);
        const page = new DOMParser().parseFromString(sent.responseText, "text/html");
        failed(page.querySelector("#problem p")?.textContent ?? "The file was refused.");
      }
    });
    sent.addEventListener("error", () => failed("The file could not be sent. It may be too large, or the service does not answer."));
    sent.open("POST", form.action);
    sent.setRequestHeader(HEADER, formToken);
    sent.setRequestHeader("X-Catalogue", CATALOGUE);
    sent.setRequestHeader("HX-Request", "true");
    sent.send(new FormData(form));
  });
}
