"use strict";
// Sorts tables, saves figures and tables, opens what a link points into. The page is whole without it.

const NUMBER = /^[-+−]?[\d,]*\.?\d+(e[-+]?\d+)?/i;
const SCALE = 3; // pixels of a saved PNG for each point of an SVG
const NOTHING = ["", "–", "-"];

const make = (tag, words, attributes = {}) => {
  const element = document.createElement(tag);
  element.textContent = words;
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
};

// --- saving ---
const save = (blob, name) => {
  const link = make("a", "", { href: URL.createObjectURL(blob), download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
};

const decode = (address) => {
  const [head, body] = address.split(",", 2);
  const bytes = Uint8Array.from(atob(body), (letter) => letter.charCodeAt(0));
  return new Blob([bytes], { type: head.slice(5).split(";")[0] });
};

const drawPng = async (image) => {
  await image.decode();
  const [width, height] = [image.naturalWidth, image.naturalHeight];
  const canvas = document.createElement("canvas");
  canvas.width = width * SCALE;
  canvas.height = height * SCALE;
  const context = canvas.getContext("2d");
  context.fillStyle = "#ffffff";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(image, 0, 0, canvas.width, canvas.height);
  return new Promise((done) => canvas.toBlob(done, "image/png"));
};

const offerFigure = (figure) => {
  const image = figure.querySelector("img");
  const { name, format } = figure.dataset;
  const row = make("div", "", { class: "saves" });
  for (const wanted of format === "svg" ? ["svg", "png"] : ["png"]) {
    const file = `${name}.${wanted}`;
    const link = make("a", wanted.toUpperCase(), {
      class: "button", href: "#", role: "button", download: file, "aria-label": `Download ${file}`,
    });
    link.addEventListener("click", async (event) => {
      event.preventDefault();
      save(wanted === format ? decode(image.src) : await drawPng(image), file);
    });
    row.append(link);
  }
  const larger = make("button", "Enlarge", { class: "button", type: "button", "aria-label": `Enlarge ${name}` });
  for (const place of [larger, image]) place.addEventListener("click", () => enlarge(figure));
  row.append(larger);
  figure.append(row);
};

// --- tables ---
const textOf = (cell) => (cell ? cell.innerText || cell.textContent : "").trim();

const keyOf = (cell) => {
  if (!cell) return null;
  if (cell.dataset.value !== undefined) return Number.isNaN(Number(cell.dataset.value)) ? null : Number(cell.dataset.value);
  const words = cell.textContent.trim();
  if (NOTHING.includes(words)) return null;
  const found = words.match(NUMBER);
  return found ? Number(found[0].replaceAll(",", "").replace("−", "-")) : words;
};

// a column is of numbers if none of its cells begins with anything else; empty cells stand last, either way
const compare = (numeric, down) => (one, other) => {
  if (one.key === null || other.key === null) return (one.key === null) - (other.key === null) || one.place - other.place;
  const order = numeric ? one.key - other.key
    : one.words.localeCompare(other.words, undefined, { numeric: true, sensitivity: "base" });
  return (down ? -order : order) || one.place - other.place;
};

const sortBy = (table, column, heading) => {
  const body = table.tBodies[0];
  const rows = [...body.rows].map((row, place) => {
    const cell = row.cells[column];
    const named = cell && cell.tagName === "TH"; // names are words, even where they begin with a digit
    const key = keyOf(cell);
    return { row, place, key: named && key !== null ? textOf(cell) : key, words: textOf(cell) };
  });
  const numeric = rows.every(({ key }) => key === null || typeof key === "number");
  const before = heading.getAttribute("aria-sort");
  const down = before ? before === "ascending" : numeric; // numbers: the highest first
  for (const cell of table.tHead.rows[0].cells) cell.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", down ? "descending" : "ascending");
  rows.sort(compare(numeric, down));
  body.append(...rows.map(({ row }) => row));
};

const asTable = (table) =>
  [...table.rows]
    .map((row) => [...row.cells].map((cell) => cell.textContent.trim().replace(/\s+/g, " ")).join("\t"))
    .join("\n") + "\n";

const offerTable = (table) => {
  const wide = table.parentElement;
  const name = wide.getAttribute("aria-label") || "table";
  [...table.tHead.rows[0].cells].forEach((heading, column) => {
    const button = make("button", heading.textContent || "name", { type: "button" });
    button.addEventListener("click", () => sortBy(table, column, heading));
    heading.replaceChildren(button);
  });
  if (table.tBodies[0].rows.length < 2) return;
  const row = make("div", "", { class: "tools" });
  if (table.classList.contains("filter")) {
    const input = make("input", "", { type: "search", placeholder: "Filter rows", "aria-label": `Filter ${name}` });
    input.addEventListener("input", () => {
      const wanted = input.value.toLowerCase();
      for (const line of table.tBodies[0].rows) line.hidden = !line.textContent.toLowerCase().includes(wanted);
    });
    row.append(input);
  }
  const file = `${name.replace(/[^A-Za-z0-9.-]+/g, "_").slice(0, 60)}.tsv`;
  const button = make("button", "TSV", { type: "button", class: "button", "aria-label": `Download ${file}` });
  button.addEventListener("click", () => save(new Blob([asTable(table)], { type: "text/tab-separated-values" }), file));
  row.append(button);
  if (table.tBodies[0].rows.length > 12) wide.before(row); else wide.after(row);
};

// what scrolls sideways can be reached by keyboard
const reachable = () => {
  for (const wide of document.querySelectorAll(".wide"))
    if (wide.scrollWidth > wide.clientWidth) wide.tabIndex = 0; else wide.removeAttribute("tabindex");
};

// --- large view ---
const zoom = () => {
  const dialog = make("dialog", "", { "aria-label": "Figure" });
  const [image, words, close] = [make("img", ""), make("p", ""), make("button", "Close", { class: "button", type: "button" })];
  close.addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  dialog.append(image, words, close);
  document.body.append(dialog);
  return (figure) => {
    const shown = figure.querySelector("img");
    image.src = shown.src;
    image.alt = shown.alt;
    words.textContent = figure.querySelector("figcaption").textContent;
    dialog.showModal();
  };
};

// --- finding one's way ---
const openTo = (id) => {
  const target = id && document.getElementById(id);
  if (!target) return;
  for (let place = target; place; place = place.parentElement) if (place.tagName === "DETAILS") place.open = true;
  target.scrollIntoView();
};

const offerAll = (section) => {
  const entries = [...section.querySelectorAll(":scope > details.entry")];
  if (entries.length < 2) return;
  const row = make("div", "", { class: "tools" });
  for (const [words, open] of [["Open all", true], ["Close all", false]]) {
    const button = make("button", words, { type: "button", class: "button" });
    button.addEventListener("click", () => entries.forEach((entry) => { entry.open = open; }));
    row.append(button);
  }
  section.querySelector("h2").after(row);
};

const follow = () => {
  const links = new Map([...document.querySelectorAll(".contents > ul > li > a")].map((link) => [link.hash.slice(1), link]));
  const mark = () => {
    let current = null;
    for (const section of document.querySelectorAll("main > section"))
      if (section.getBoundingClientRect().top <= 120) current = section.id;
    const end = window.innerHeight + window.scrollY >= document.documentElement.scrollHeight - 2;
    if (end && window.scrollY > 0) current = [...links.keys()].pop();
    for (const [id, link] of links) if (id === (current || [...links.keys()][0])) link.setAttribute("aria-current", "true"); else link.removeAttribute("aria-current");
  };
  window.addEventListener("scroll", mark, { passive: true });
  mark();
};

document.documentElement.classList.add("script");
const enlarge = zoom();
document.querySelectorAll("figure").forEach(offerFigure);
document.querySelectorAll("table.sortable").forEach(offerTable);
document.querySelectorAll("main > section").forEach(offerAll);
document.addEventListener("toggle", reachable, true);
window.addEventListener("resize", reachable);
window.addEventListener("hashchange", () => openTo(decodeURIComponent(location.hash.slice(1))));
window.addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((entry) => {
  if (!entry.open) { entry.open = true; entry.dataset.closed = ""; }
}));
window.addEventListener("afterprint", () => document.querySelectorAll("details[data-closed]").forEach((entry) => {
  entry.open = false;
  delete entry.dataset.closed;
}));
reachable();
follow();
openTo(decodeURIComponent(location.hash.slice(1)));
