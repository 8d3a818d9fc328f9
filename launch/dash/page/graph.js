// The agent graph: health by shape and colour, width of an edge by bytes, the chosen agent's neighbourhood lit up.
"use strict";

const graph = { cy: null, largest: 1 };
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

function drawGraph() {
  const { about } = run;
  const joined = new Set(about.edges.map(([a, b]) => `${Math.min(a, b)}-${Math.max(a, b)}`));
  const pairs = new Map([...joined].map((key) => [key, true]));
  about.neighbours.forEach((row, a) => row.forEach((b) => {
    const key = `${Math.min(a, b)}-${Math.max(a, b)}`;
    if (!pairs.has(key)) pairs.set(key, false);
  }));
  const container = byId("graph");
  const spot = spots(about.agents, about.edges, container.clientWidth);
  if (spot && spot.every(({ y }) => y === 0)) container.classList.add("row");
  const elements = [...Array(about.agents).keys()].map((agent) => ({
    data: { id: String(agent), label: String(agent) }, position: spot && spot[agent],
  }));
  for (const [key, isEdge] of pairs) {
    const [a, b] = key.split("-");
    // Arcs, so that who is told over several hops does not hide behind who stands between.
    const [from, to] = spot && spot[a].x > spot[b].x ? [b, a] : [a, b];
    const bend = spot && !isEdge && spot[a].y === spot[b].y ? -0.28 * (spot[to].x - spot[from].x) : 0;
    elements.push({ data: { id: key, source: from, target: to, width: 1, bend }, classes: isEdge ? "edge" : "far" });
  }
  graph.cy = cytoscape({
    container, elements, style: graphStyle(), minZoom: 0.2, maxZoom: 3, userZoomingEnabled: false,
    boxSelectionEnabled: false, autoungrabify: true,
    layout: spot ? { name: "preset", padding: 30 } : isRing(about.agents, about.edges)
      ? { name: "circle", padding: 30 } : { name: "cose", animate: false, randomize: false, padding: 30 },
  });
  graph.cy.on("tap", "node", (event) => choose(Number(event.target.id())));
  graph.cy.on("mouseover tap", "edge", (event) => tellEdge(event.target));
  new ResizeObserver(() => { graph.cy.resize(); graph.cy.fit(undefined, 30); }).observe(container);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => graph.cy.style(graphStyle()));
}

function graphStyle() {
  const styles = [
    { selector: "node", style: {
      label: "data(label)", width: 34, height: 34, "font-size": 14, "font-weight": 700, color: "#fff",
      "text-valign": "center", "text-halign": "center", "border-width": 2, "border-color": colour("ink"),
      "text-outline-width": 2, "text-outline-color": "#222" } },
    { selector: "edge", style: {
      width: "data(width)", "line-color": colour("soft"), "curve-style": "unbundled-bezier",
      "control-point-distances": "data(bend)", "control-point-weights": 0.5, opacity: 0.85 } },
    { selector: "edge.far", style: { "line-style": "dashed", opacity: 0.6 } },
    { selector: "node.turn", style: { "underlay-color": colour("turn"), "underlay-padding": 9, "underlay-opacity": 0.55 } },
    { selector: "node.near", style: { "border-width": 4, "border-color": colour("accent") } },
    { selector: "node.chosen", style: { "border-width": 6, "border-style": "double", "border-color": colour("accent") } },
    { selector: "edge.near", style: { "line-color": colour("accent"), opacity: 1 } },
    { selector: ".dim", style: { opacity: 0.25 } },
  ];
  for (const [name, [, shape]] of Object.entries(SHAPES))
    styles.splice(1, 0, { selector: `node.${name}`, style: { shape, "background-color": colour(name) || colour("ended") } });
  styles.push({ selector: "node.dead", style: { width: 46, height: 46 } });
  styles.push({ selector: "node.absent", style: { "background-opacity": 0.15, "border-style": "dashed" } });
  return styles;
}

function neighboursIn(agents, edges) {
  const near = Array.from({ length: agents }, () => []);
  edges.forEach(([a, b]) => { near[a].push(b); near[b].push(a); });
  return near;
}

function isRing(agents, edges) {
  return edges.length === agents && neighboursIn(agents, edges).every((row) => row.length === 2);
}

// A path lies in rows, like text; any other graph is laid out by Cytoscape.
function spots(agents, edges, width) {
  const near = neighboursIn(agents, edges);
  const ends = near.map((row, agent) => (row.length < 2 ? agent : -1)).filter((agent) => agent >= 0);
  if (edges.length !== agents - 1 || near.some((row) => row.length > 2) || !ends.length) return null;
  const found = Array(agents).fill(null);
  const most = Math.max(4, Math.floor(width / 60));
  const perRow = agents <= most ? agents : Math.min(Math.ceil(agents / Math.ceil(agents / most)), 32);
  let last = -1, here = ends[0];
  for (let place = 0; place < agents && here !== undefined; place++) {
    const row = Math.floor(place / perRow), column = place % perRow;
    found[here] = { x: 90 * (row % 2 ? perRow - 1 - column : column), y: 110 * row };
    [last, here] = [here, near[here].find((other) => other !== last)];
  }
  return found.every((spot) => spot) ? found : null;
}

function pairBytes() {
  const found = new Map();
  for (const [from, to, kind, , bytes] of pattern()) {
    if (from >= SIM || to >= SIM) continue;
    const key = `${Math.min(from, to)}-${Math.max(from, to)}`;
    const kinds = found.get(key) || {};
    kinds[run.about.kinds[kind]] = (kinds[run.about.kinds[kind]] || 0) + bytes;
    found.set(key, kinds);
  }
  return found;
}

const sum = (values) => values.reduce((total, value) => total + value, 0);

function updateGraph() {
  const bytes = pairBytes();
  graph.largest = Math.max(1, ...[...bytes.values()].map((kinds) => sum(Object.values(kinds))));
  const { holders } = turns();
  const near = run.chosen === null ? null : new Set([run.chosen, ...run.about.neighbours[run.chosen]]);
  graph.cy.batch(() => {
    graph.cy.nodes().forEach((node) => {
      const agent = Number(node.id());
      const found = health(named(agent));
      node.removeClass(Object.keys(SHAPES).join(" ")).addClass(found);
      // In grey an octagon is too like a disc.
      node.data("label", { dead: `${agent} ×`, late: `${agent} ?` }[found] || String(agent));
      node.toggleClass("turn", holders.includes(agent));
      node.toggleClass("chosen", agent === run.chosen);
      node.toggleClass("near", near !== null && near.has(agent) && agent !== run.chosen);
      node.toggleClass("dim", near !== null && !near.has(agent));
    });
    graph.cy.edges().forEach((edge) => {
      const kinds = bytes.get(edge.id());
      edge.data("width", kinds ? 1 + 7 * sum(Object.values(kinds)) / graph.largest : 0.5);
      const ends = [Number(edge.data("source")), Number(edge.data("target"))];
      edge.toggleClass("near", near !== null && ends.includes(run.chosen));
      edge.toggleClass("dim", near !== null && !ends.every((end) => near.has(end)));
    });
  });
  const counts = {};
  for (let agent = 0; agent < run.about.agents; agent++) {
    const found = health(named(agent));
    counts[found] = (counts[found] || 0) + 1;
  }
  const words = Object.entries(counts).map(([name, count]) => `${count} ${SHAPES[name][2]}`).join(", ");
  byId("graph").setAttribute("aria-label",
    `Graph of ${run.about.agents} agents, kappa ${run.about.kappa}: ${words}` +
    (run.chosen === null ? "" : `. Agent ${run.chosen} is chosen; it hears ${run.about.neighbours[run.chosen].join(", ") || "nobody"}`));
}

function tellEdge(edge) {
  const kinds = pairBytes().get(edge.id());
  const all = kinds ? sum(Object.values(kinds)) : 0;
  const parts = kinds ? Object.entries(kinds).map(([kind, bytes]) => `${kind} ${bytesWords(bytes)}`).join(", ") : "no round yet";
  byId("edge").textContent =
    `agent ${edge.id().replace("-", " and agent ")}: ${bytesWords(all)} in the round, both ways (${parts})`;
}
