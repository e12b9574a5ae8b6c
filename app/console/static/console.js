// What htmx and the server do not do: plots, times in the viewer's zone, the token of the session's forms.
"use strict";

const FORM_TOKEN = document.querySelector('meta[name="form-token"]').content;

// Sent as a header, because htmx also sends what is in no form.
document.addEventListener("htmx:configRequest", (event) => {
  event.detail.headers["X-Form-Token"] = FORM_TOKEN;
});

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
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => location.reload());
