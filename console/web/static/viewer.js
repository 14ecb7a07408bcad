// Looking at a photograph closely: wheel, pinch, buttons and keys zoom; dragging and arrow keys move.
"use strict";

for (const viewer of document.querySelectorAll("[data-viewer]")) {
  const stage = viewer.querySelector(".stage");
  const moves = viewer.querySelector(".moves");
  if (!stage || !moves) continue;
  const panzoom = Panzoom(moves, { maxScale: 40, minScale: 1, step: 0.4 });
  const STEP = 60; // CSS pixels that an arrow key moves the picture by
  const acts = {
    "+": () => panzoom.zoomIn(),
    "=": () => panzoom.zoomIn(),
    "-": () => panzoom.zoomOut(),
    0: () => panzoom.reset(),
    ArrowLeft: () => panzoom.pan(STEP / panzoom.getScale(), 0, { relative: true }),
    ArrowRight: () => panzoom.pan(-STEP / panzoom.getScale(), 0, { relative: true }),
    ArrowUp: () => panzoom.pan(0, STEP / panzoom.getScale(), { relative: true }),
    ArrowDown: () => panzoom.pan(0, -STEP / panzoom.getScale(), { relative: true }),
  };
  stage.addEventListener("wheel", (event) => { event.preventDefault(); panzoom.zoomWithWheel(event); }, { passive: false });
  stage.addEventListener("dblclick", () => panzoom.reset());
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, textarea")) return;
    const act = acts[event.key];
    if (act) { event.preventDefault(); act(); }
  });
  const buttons = { in: panzoom.zoomIn, out: panzoom.zoomOut, all: panzoom.reset };
  for (const button of viewer.querySelectorAll("[data-zoom]")) {
    button.addEventListener("click", () => buttons[button.dataset.zoom]());
    button.disabled = false; // until now nothing would have happened
  }
  const heat = viewer.querySelector("[data-heat]");
  const toggle = viewer.querySelector("[data-show-heat]");
  if (heat) {
    const problem = viewer.querySelector("[data-heat-problem]");
    const shown = (yes) => { heat.toggleAttribute("hidden", !yes); toggle.setAttribute("aria-pressed", yes); };
    const show = async () => {
      const image = heat.querySelector("image");
      if (toggle.getAttribute("aria-pressed") === "true") return shown(false);
      if (!image.hasAttribute("href")) {
        toggle.disabled = true;
        problem.textContent = "Asking the network …"; // the first time it has to be loaded
        problem.hidden = false;
        const answer = await fetch(heat.dataset.heat, { headers: { Accept: "application/json" } });
        toggle.disabled = false;
        if (!answer.ok) { problem.textContent = `There is no heat map. ${(await answer.json()).detail}`; return undefined; }
        problem.hidden = true;
        image.setAttribute("href", heat.dataset.heat);
      }
      return shown(true);
    };
    toggle.addEventListener("click", show);
    toggle.disabled = false;
    acts.h = acts.H = show;
  }
  viewer.addEventListener("viewer:new", () => panzoom.reset());
}
