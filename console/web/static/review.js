// One image after the other. A decision is one key, and is sent at once; the next picture is loaded already. The page
// says where to, and has an undo and a reason or has not.
"use strict";

const page = document.querySelector("[data-review]");
const address = page.dataset.review;
const find = (name) => page.querySelector(`[data-${name}]`);
const [picture, path, problem, done, reason, undo] = ["picture", "path", "problem", "done", "reason", "undo"].map(find);
const viewer = page.querySelector("[data-viewer]");
const loaded = new Map(); // by verdict: the pictures of those that come next
let waiting = [];
let busy = false;

const source = (image) => `/images/${image.result}/full.jpg`;

async function ask(what, body) {
  if (busy) return;
  busy = true;
  for (const button of page.querySelectorAll("button")) button.disabled = true;
  try {
    const answer = await fetch(`${address}/${what}`, {
      method: "POST",
      headers: { "Content-Type": "application/json", Accept: "application/json" },
      body: JSON.stringify(body ?? {}),
    });
    if (answer.status === 401) return signedOut(what);
    const said = await answer.json();
    if (!answer.ok) throw new Error(said.detail);
    if (what !== "take") problem.hidden = true; // what was refused stays to be read while the next image is asked for
    show(said);
  } catch (error) {
    problem.textContent = error instanceof TypeError ? "The server does not answer. Nothing was saved; try again." : error.message;
    problem.hidden = false;
    if (what === "decide" && !(error instanceof TypeError)) setTimeout(() => ask("take"), 0);
  } finally {
    busy = false;
    for (const button of page.querySelectorAll("button")) button.disabled = waiting.length === 0 && !("undo" in button.dataset);
  }
}

function signedOut(what) {
  problem.textContent = `You are not signed in any more${what === "decide" ? ", and your last answer was not saved" : ""}. `;
  const link = document.createElement("a");
  link.href = `/login?next=${encodeURIComponent(location.pathname)}`;
  link.textContent = "Sign in again";
  problem.append(link);
  problem.hidden = false;
}

function show(said) {
  waiting = said.images;
  find("open").textContent = said.open.toLocaleString("en");
  find("decided").textContent = said.decided.toLocaleString("en");
  const [now, ...next] = waiting;
  done.hidden = Boolean(now);
  picture.hidden = !now;
  path.textContent = now ? (now.name ?? now.path) : "";
  for (const image of next) {
    if (loaded.has(image.result)) continue;
    const ahead = new Image();
    ahead.src = source(image);
    loaded.set(image.result, ahead);
  }
  const known = new Set(waiting.map((image) => image.result));
  for (const result of loaded.keys()) if (!known.has(result)) loaded.delete(result);
  if (now && picture.dataset.result !== String(now.result)) {
    picture.dataset.result = now.result;
    picture.src = source(now);
    picture.alt = `The photograph to decide about: ${path.textContent}`;
    if (reason) reason.value = "";
    viewer.dispatchEvent(new Event("viewer:new"));
  }
}

function decide(decision) {
  const [now] = waiting;
  if (now) ask("decide", { ...now, decision, reason_code: reason?.value.trim() || null });
}

const keys = { p: () => decide("PASS"), f: () => decide("FAIL"), u: () => decide("UNSURE") };
if (undo) {
  keys.z = () => ask("undo");
  undo.addEventListener("click", keys.z);
}
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || event.target.closest("input, select, textarea")) return;
  const act = keys[event.key.toLowerCase()];
  if (act) { event.preventDefault(); act(); }
});
for (const button of page.querySelectorAll("[data-decide]")) button.addEventListener("click", () => decide(button.dataset.decide));
ask("take");
