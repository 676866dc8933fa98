// problems returns what is wrong with the page as it stands: what a person who cannot see
// it, sees little or uses the keyboard would meet. An empty list is a good page.
(() => {
  const found = [];
  const say = (what, e) => found.push(what + (e ? ": " + e.outerHTML.slice(0, 140) : ""));
  const all = (s) => [...document.querySelectorAll(s)];
  const visible = (e) => e.checkVisibility({ visibilityProperty: true }) && e.getClientRects().length > 0;
  const referred = (ids) => ids.split(/\s+/).map((id) => document.getElementById(id));
  const name = (e) => {
    if (e.getAttribute("aria-label")) { return e.getAttribute("aria-label"); }
    if (e.getAttribute("aria-labelledby")) { return referred(e.getAttribute("aria-labelledby")).map((x) => x ? x.textContent : "").join(" "); }
    const clone = e.cloneNode(true);
    clone.querySelectorAll("[aria-hidden=true]").forEach((x) => x.remove());
    return clone.textContent.trim() || e.getAttribute("title") || "";
  };

  if (document.documentElement.lang !== "en") { say("the page has no language"); }
  if (!document.title) { say("the page has no title"); }
  for (const one of ["h1", "main", "body > header", "body > footer"]) {
    if (all(one).length !== 1) { say(`there are ${all(one).length} of ${one}`); }
  }
  let rank = 0;
  for (const h of all("h1, h2, h3, h4")) {
    const r = Number(h.tagName[1]);
    if (r > rank + 1) { say("a heading skips a rank", h); }
    if (!h.textContent.trim()) { say("a heading is empty", h); }
    rank = r;
  }
  const ids = new Set();
  for (const e of all("[id]")) {
    if (ids.has(e.id)) { say("an id stands twice", e); }
    ids.add(e.id);
  }
  for (const e of all("[aria-labelledby]")) {
    if (referred(e.getAttribute("aria-labelledby")).includes(null)) { say("what labels it is not there", e); }
  }
  for (const e of all("nav, [role=region], section")) { if (!name(e)) { say("a landmark has no name", e); } }
  for (const e of all("a[href], button, summary")) { if (visible(e) && !name(e)) { say("it has no name", e); } }
  for (const e of all("input:not([type=hidden]), select, textarea")) {
    if (!e.labels.length && !e.getAttribute("aria-label")) { say("a field has no label", e); }
  }
  for (const e of all("progress, meter")) { if (!name(e)) { say("a bar has no name", e); } }
  for (const e of all("svg")) {
    if (e.getAttribute("aria-hidden") !== "true" && !(e.getAttribute("role") === "img" && name(e))) { say("a drawing has no name", e); }
  }
  for (const e of all("img")) { if (!e.hasAttribute("alt")) { say("a picture has no text", e); } }
  for (const t of all("table")) {
    if (!t.caption || !t.caption.textContent.trim()) { say("a table has no caption", t); }
    for (const th of t.querySelectorAll("th")) { if (!th.scope) { say("a head of a table has no scope", th); } }
  }
  for (const a of all("a[href^='#']")) { if (!document.getElementById(a.getAttribute("href").slice(1))) { say("a link leads nowhere", a); } }
  if (document.documentElement.scrollWidth > document.documentElement.clientWidth) { say(`the page is ${document.documentElement.scrollWidth} wide on a screen of ${document.documentElement.clientWidth}`); }
  for (const e of all("a[href], button, input:not([type=hidden]), select, summary")) {
    const box = e.getBoundingClientRect();
    const inline = e.tagName === "A" && getComputedStyle(e).display === "inline"; // a link in a text
    if (visible(e) && !inline && box.right > 0 && (box.height < 24 || box.width < 24) && e.type !== "checkbox") { say(`a target is ${box.width.toFixed(0)} by ${box.height.toFixed(0)}`, e); }
  }

  // Contrast of each text against what is behind it; of a gradient against its worst colour.
  const colours = (s) => [...s.matchAll(/rgba?\(([^)]+)\)/g)].map((m) => m[1].split(/[\s,/]+/).map(Number)).map(([r, g, b, a = 1]) => ({ r, g, b, a }));
  const over = (x, y) => ({ r: x.r * x.a + y.r * (1 - x.a), g: x.g * x.a + y.g * (1 - x.a), b: x.b * x.a + y.b * (1 - x.a), a: 1 });
  const behind = (e) => {
    if (!e) { return [{ r: 255, g: 255, b: 255, a: 1 }]; }
    const style = getComputedStyle(e);
    const layers = [...colours(style.backgroundColor), ...colours(style.backgroundImage)].filter((c) => c.a > 0);
    const solid = layers.filter((c) => c.a === 1);
    if (solid.length && style.backgroundImage === "none") { return solid; }
    const below = behind(e.parentElement);
    return layers.length ? layers.flatMap((c) => below.map((b) => over(c, b))).concat(style.backgroundImage === "none" ? [] : below) : below;
  };
  const light = (c) => {
    const [r, g, b] = [c.r, c.g, c.b].map((v) => v / 255).map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (x, y) => { const [a, b] = [light(x), light(y)].sort((p, q) => q - p); return (a + 0.05) / (b + 0.05); };
  const said = new Set();
  for (const e of all("body *")) {
    if (!visible(e) || e.closest(".hide, .skip") || ![...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim())) { continue; }
    const style = getComputedStyle(e);
    if (style.display === "none" || e.closest("svg, option")) { continue; }
    const size = parseFloat(style.fontSize);
    const enough = size >= 24 || size >= 18.66 && Number(style.fontWeight) >= 700 ? 3 : 4.5;
    const ink = colours(style.color)[0];
    for (const paper of behind(e)) {
      const c = contrast(over(ink, paper), paper);
      const key = style.color + JSON.stringify(paper);
      if (c < enough && !said.has(key)) { said.add(key); say(`contrast ${c.toFixed(2)} of ${style.color} on ${JSON.stringify(paper)}`, e); }
    }
  }
  return found;
})()
