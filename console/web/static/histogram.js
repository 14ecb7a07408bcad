// How many images have which score, and what other limits would make of them: drag a limit, or move it with the arrows.
"use strict";

const WIDTH = 1000, HEIGHT = 220, TOP = 14, BASE = 190, BARS = 100;
const SVG = "http://www.w3.org/2000/svg";

function made(name, attributes, parent, words) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (words !== undefined) element.textContent = words;
  parent.append(element);
  return element;
}

async function draw(place) {
  place.classList.add("histogram"); // at once: it is asked for again while the scores are on their way
  const { cells, pass_below, fail_from, given } = await (await fetch(place.dataset.scores)).json();
  const step = 1 / cells.length, group = cells.length / BARS;
  const images = cells.reduce((sum, count) => sum + count, 0);
  if (!images) { place.textContent = "No image has a score."; return; }
  const svg = made("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "group", "aria-label": "Scores from 0 to 1, and the two limits" }, place);
  const bars = Array.from({ length: BARS }, (_, at) => cells.slice(at * group, (at + 1) * group).reduce((sum, count) => sum + count, 0));
  const highest = Math.max(...bars);
  // By the root, so that a bar of three images is seen beside one of thousands; figures are told in numbers below.
  const tall = (count) => (BASE - TOP) * Math.sqrt(count / highest);
  const rects = bars.map((count, at) => made("rect", { class: "cell", x: at * WIDTH / BARS + 1, width: WIDTH / BARS - 2, y: BASE - tall(count), height: tall(count) }, svg));
  for (let tick = 0; tick <= 10; tick += 2) made("text", { x: Math.min(Math.max(tick * WIDTH / 10, 10), WIDTH - 10), y: HEIGHT - 8, "text-anchor": "middle" }, svg, (tick / 10).toString());
  const words = document.createElement("p");
  words.className = "what-if";
  words.setAttribute("aria-live", "polite");
  place.append(words);
  const limits = [pass_below, fail_from];
  const lines = limits.map((_, which) => {
    const line = made("line", { y1: TOP - 8, y2: BASE }, svg);
    const grip = made("circle", { class: "grip", r: 9, cy: TOP + which * 24, tabindex: 0, role: "slider", "aria-valuemin": 0, "aria-valuemax": 1, "aria-label": which ? "FAIL from" : "PASS below" }, svg);
    return { line, grip };
  });
  const at = (limit) => Math.round(limit / step);
  const count = (from, to) => cells.slice(from, to).reduce((sum, number) => sum + number, 0);

  function show() {
    limits.forEach((limit, which) => {
      const { line, grip } = lines[which];
      for (const [element, names] of [[line, ["x1", "x2"]], [grip, ["cx"]]]) for (const name of names) element.setAttribute(name, limit * WIDTH);
      grip.setAttribute("aria-valuenow", limit.toFixed(3));
    });
    rects.forEach((rect, bar) => {
      const middle = (bar + 0.5) / BARS;
      rect.setAttribute("class", `cell ${middle < limits[0] ? "pass" : middle >= limits[1] ? "fail" : "review"}`);
    });
    const moved = limits[0] !== pass_below || limits[1] !== fail_from;
    const [low, high] = limits.map(at);
    // The job's own limits need not lie on a thousandth, so what they gave is told by the server.
    const counts = moved ? [count(0, low), count(low, high), count(high)] : given;
    const parts = [["pass", "PASS"], ["review", "REVIEW"], ["fail", "FAIL"]].map((names, which) => [...names, counts[which]]);
    words.replaceChildren(...parts.map(([tone, word, number]) => {
      const key = document.createElement("span");
      key.className = `key ${tone}`;
      const figure = document.createElement("b");
      figure.textContent = number.toLocaleString("en");
      key.append(word, " ", figure);
      return key;
    }));
    if (moved) {
      const note = document.createElement("span");
      note.textContent = `if PASS were below ${limits[0].toFixed(3)} and FAIL from ${limits[1].toFixed(3)}: nothing is changed by looking.`;
      words.append(note);
    }
  }

  function move(which, limit) {
    limits[which] = Math.min(Math.max(limit, which ? limits[0] : 0), which ? 1 : limits[1]);
    show();
  }

  lines.forEach(({ grip }, which) => {
    grip.addEventListener("pointerdown", (event) => { grip.setPointerCapture(event.pointerId); event.preventDefault(); grip.focus(); });
    grip.addEventListener("pointermove", (event) => {
      if (!grip.hasPointerCapture(event.pointerId)) return;
      const box = svg.getBoundingClientRect();
      move(which, Math.round((event.clientX - box.left) / box.width / step) * step);
    });
    grip.addEventListener("keydown", (event) => {
      const by = { ArrowLeft: -1, ArrowRight: 1, PageDown: -10, PageUp: 10 }[event.key];
      if (by) { event.preventDefault(); move(which, Math.round((limits[which] + by * step) / step) * step); }
    });
  });
  show();
}

// Now, and where htmx puts a job that has ended in the place of one that one watched.
function drawAll() {
  for (const place of document.querySelectorAll("#histogram:not(.histogram)")) draw(place);
}
document.addEventListener("htmx:load", drawAll);
drawAll();
