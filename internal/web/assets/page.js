// The page is complete without this script. With it, the parts that changed are taken from
// a fresh copy of the page, whenever the agent says that something did.
"use strict";

const live = document.getElementById("live");
const liveText = document.getElementById("live-text");
const liveButton = document.getElementById("live-button");
const shortest = 2000; // between two fresh copies, in milliseconds
const longest = 30000; // so that "3 min ago" stays true
const hidden = 60000; // in a tab that nobody sees: its title and icon are still looked at
let paused = remembered() === "yes";
let busy = false;
let wanted = false;
let last = Date.now();

// A browser that stores nothing may refuse even to be asked.
function remembered() {
  try { return sessionStorage.getItem("paused"); } catch { return null; }
}

function remember(value) {
  try { sessionStorage.setItem("paused", value); } catch { /* then the choice is for this page */ }
}

// keep notes what a visitor sees of a part, to give it back after a swap.
function keep(part) {
  const active = part.contains(document.activeElement) ? document.activeElement : null;
  const key = active && (active.id || active.getAttribute("href"));
  const open = [...part.querySelectorAll("details")].map((d) => d.open);
  const scrolled = [...part.querySelectorAll(".scroll")].map((s) => [s.scrollLeft, s.scrollTop]);
  return () => {
    part.querySelectorAll("details").forEach((d, i) => { d.open = open[i] ?? d.open; });
    part.querySelectorAll(".scroll").forEach((s, i) => { if (scrolled[i]) { [s.scrollLeft, s.scrollTop] = scrolled[i]; } });
    if (!active) { return; }
    const again = [...part.querySelectorAll("a, button, summary, [tabindex]")].find((e) => (e.id || e.getAttribute("href")) === key);
    if (again) { again.focus({ preventScroll: true }); }
  };
}

// swap takes the parts that differ from a fresh copy of the page.
function swap(fresh) {
  const selected = document.getSelection();
  for (const part of document.querySelectorAll("[data-live]")) {
    const other = fresh.getElementById(part.id);
    if (!other || part.innerHTML === other.innerHTML && part.className === other.className) { continue; }
    if (selected && !selected.isCollapsed && part.contains(selected.anchorNode)) { continue; } // somebody is about to copy it
    const back = keep(part);
    part.className = other.className;
    part.innerHTML = other.innerHTML;
    back();
  }
  document.title = fresh.title;
  const icon = document.querySelector("link[rel=icon]");
  const href = fresh.querySelector("link[rel=icon]").getAttribute("href");
  if (icon.getAttribute("href") !== href) { icon.setAttribute("href", href); }
  rove();
}

async function refresh() {
  if (busy || paused) { return; }
  const wait = shortest - (Date.now() - last);
  if (wait > 0) { setTimeout(refresh, wait); return; }
  busy = true;
  wanted = false;
  last = Date.now();
  try {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
    if (answer.ok) {
      swap(new DOMParser().parseFromString(await answer.text(), "text/html"));
      tell("");
      listen();
    } else { tell("lost"); }
  } catch { tell("lost"); }
  busy = false;
  if (wanted) { refresh(); }
}

function changed() {
  wanted = true;
  refresh();
}

// tell shows whether the page is up to date.
function tell(problem) {
  live.classList.toggle("off", paused);
  live.classList.toggle("lost", !paused && problem === "lost");
  liveText.textContent = paused ? "Paused" : problem === "lost" ? "The agent does not answer" : "Live";
  liveButton.textContent = paused ? "Resume updates" : "Pause updates";
  liveButton.setAttribute("aria-pressed", String(paused));
}

// listen follows the events while somebody looks: a browser opens six connections to a host,
// and tabs in the background would take them all. Where the agent has refused, it has
// listeners enough; then the page is loaded now and then, and asks again.
let events = null;
function listen() {
  const still = paused || document.hidden;
  if (events && (still || events.readyState === EventSource.CLOSED)) { events.close(); events = null; }
  if (still || events) { return; }
  events = new EventSource("/api/v1/events");
  events.addEventListener("message", changed);
  events.addEventListener("summary", changed);
  events.addEventListener("error", (e) => { if (e.target.readyState !== EventSource.CLOSED) { tell("lost"); } });
  events.addEventListener("open", () => tell(""));
}

if (document.querySelector("[data-live]")) {
  live.hidden = false;
  tell("");
  listen();
  setInterval(() => { if (Date.now() - last >= (document.hidden ? hidden : longest)) { changed(); } }, 5000);
  document.addEventListener("visibilitychange", () => {
    listen();
    if (!document.hidden) { changed(); }
  });
  liveButton.addEventListener("click", () => {
    paused = !paused;
    remember(paused ? "yes" : "no");
    tell("");
    listen();
    if (!paused) { changed(); }
  });
  window.addEventListener("pagehide", () => { if (events) { events.close(); events = null; } });
  window.addEventListener("pageshow", (e) => { if (e.persisted) { changed(); } });
}

// The calendar is one stop of the tab key; arrows move in it.
const calendar = document.getElementById("calendar");
let at = "";
function days() { return calendar ? [...calendar.querySelectorAll("a.d")] : []; }
function rove() {
  const all = days();
  const current = all.find((d) => d.getAttribute("href") === at) || all.find((d) => d.classList.contains("today")) || all[0];
  all.forEach((d) => { d.tabIndex = d === current ? 0 : -1; });
}
if (calendar) {
  rove();
  const hint = document.getElementById("hint");
  const usual = hint.textContent;
  const say = (e) => { const d = e.target.closest("a.d"); hint.textContent = d ? d.title : usual; };
  calendar.addEventListener("mouseover", say);
  calendar.addEventListener("focusin", say);
  calendar.addEventListener("mouseleave", () => { hint.textContent = usual; });
  calendar.addEventListener("keydown", (e) => {
    const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -7, ArrowDown: 7 }[e.key];
    const sorted = days().sort((a, b) => a.getAttribute("href") < b.getAttribute("href") ? -1 : 1);
    const i = sorted.indexOf(document.activeElement);
    const to = e.key === "Home" ? 0 : e.key === "End" ? sorted.length - 1 : step ? i + step : -1;
    if (i < 0 || to < 0 || to >= sorted.length) { return; }
    e.preventDefault();
    at = sorted[to].getAttribute("href");
    rove();
    sorted[to].focus();
  });
}

for (const button of document.querySelectorAll(".copy")) {
  button.hidden = !navigator.clipboard;
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(button.previousElementSibling.textContent);
      button.textContent = "Copied";
    } catch { button.textContent = "Select it"; }
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  });
}
