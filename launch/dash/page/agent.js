// The chosen agent: figures, curves, what it heard, its log, and the buttons.
"use strict";

const agentPanel = { logOf: null };

function updateAgents() {
  const body = document.querySelector("#agents tbody");
  const { about } = run;
  byId("cost-head").textContent = "cost";
  while (body.rows.length < about.agents) {
    const row = body.insertRow();
    const agent = body.rows.length - 1;
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = `${agent}`;
    button.addEventListener("click", () => choose(agent, true));
    row.insertCell().append(button);
    for (let i = 0; i < 6; i++) row.insertCell();
  }
  const { holders } = turns();
  [...body.rows].forEach((row, agent) => {
    const found = health(named(agent));
    const process = statusOf(named(agent));
    const button = row.cells[0].firstChild;
    button.setAttribute("aria-pressed", String(agent === run.chosen));
    button.setAttribute("aria-label", `agent ${agent}, ${healthWords(named(agent))}`);
    row.className = agent === run.chosen ? "chosen" : run.chosen !== null && about.neighbours[run.chosen].includes(agent) ? "near" : "";
    const cells = [
      null, null, numbers(figure("cost_estimate_agent", agent)), numbers(about.limits[agent]), numbers(figure("lambda_agent", agent)),
      `${numbers(figure("kl_agent", agent), 2)} / ${numbers(figure("radius_agent", agent), 2)}`, process ? String(process.restarts) : "-",
    ];
    cells.forEach((text, i) => { if (text !== null && row.cells[i].textContent !== text) row.cells[i].textContent = text; });
    const state = `${healthWords(named(agent))}${holders.includes(agent) ? " (holds a turn)" : ""}`;
    if (row.cells[1].dataset.told !== found + state) {
      row.cells[1].dataset.told = found + state;
      row.cells[1].replaceChildren(shapeOf(found), ` ${state}`);
    }
  });
}

function shapeOf(name) {
  const picture = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  picture.setAttribute("viewBox", "0 0 20 20");
  picture.setAttribute("class", `shape ${name}`);
  picture.setAttribute("aria-hidden", "true");
  const outline = document.createElementNS("http://www.w3.org/2000/svg", "path");
  outline.setAttribute("d", SHAPES[name][0]);
  outline.setAttribute("fill", "currentColor");
  picture.append(outline);
  return picture;
}

function choose(agent, isFromTable = false) {
  run.chosen = run.chosen === agent && isFromTable ? null : agent;
  agentPanel.logOf = null;
  byId("agent").hidden = run.chosen === null;
  byId("done").textContent = "";
  draw();
}

function updateAgent() {
  if (run.chosen === null) return;
  const agent = run.chosen, { about } = run;
  const process = statusOf(named(agent));
  byId("agent-title").textContent = `Agent ${agent}`;
  const facts = [
    healthWords(named(agent)), `hears ${about.neighbours[agent].join(", ") || "nobody"}`,
    `multiplier ${numbers(figure("lambda_agent", agent))}`, `KL spent ${numbers(figure("kl_agent", agent))} of radius ${numbers(figure("radius_agent", agent))} nats`,
    `bound by ${(figure("bound_agent", agent)[0]) || "-"}`, `sent ${bytesWords(figure("bytes_agent", agent)[0] || 0)} in the round`,
  ];
  if (process && isLatest() && isLive() && process.waits_for) facts.push(`in phase ${process.phase}, waits for ${process.waits_for}`);
  if (process && isLatest()) facts.push(`pid ${process.pid}`, `${process.restarts} restart${process.restarts === 1 ? "" : "s"}`);
  byId("agent-facts").textContent = facts.join("; ");
  updateButtons(agent, process);
  updateAgentCurves(agent);
  updateHeard(agent);
  updateLog(agent);
}

function updateButtons(agent, process) {
  const reason = run.stored ? "This page is a stored copy: copy the command instead."
    : !run.about.may_write ? "The page is read-only: copy the command instead."
      : !page.token ? "To kill and restart here, open the whole address that scalmarl dash printed, with its token."
        : !isLive() ? "The run is not live." : "";
  const isDown = process !== null && process.state === "down";
  byId("kill").disabled = reason !== "" || isDown;
  byId("restart").disabled = reason !== "";
  byId("kill").setAttribute("aria-label", `Kill agent ${agent} and leave it down`);
  byId("restart").setAttribute("aria-label", `Restart agent ${agent}`);
  byId("why-not").textContent = reason;
}

const command = (verb) => `scalmarl ${verb} ${run.chosen} --run ${run.about.run_words}`;

function updateAgentCurves(agent) {
  if (drawnAs.agent === `${agent} ${curvesKey()}`) return;
  drawnAs.agent = `${agent} ${curvesKey()}`;
  const { about } = run;
  const names = about.cost_names[agent] || [];
  const strokes = ["fine", "second", "starting", "turn"];
  const values = (name, j) => (run.columns[name] || []).map((row) => { const value = row === null ? undefined : each(row[agent])[j]; return typeof value === "number" ? value : null; });
  const perCost = (name, words) => about.limits[agent].map((_, j) => ({
    label: about.limits[agent].length > 1 ? names[j] || `cost ${j}` : words, values: values(name, j), stroke: strokes[j % strokes.length],
  }));
  chart("agent-cost", perCost("cost_estimate_agent", "estimate per episode"), limitLines(about.limits[agent]), `Cost of agent ${agent}`);
  chart("agent-lambda", perCost("lambda_agent", "multiplier"), [], `Lagrange multiplier of agent ${agent}`);
  chart("agent-kl", [{ label: "KL spent", values: values("kl_agent", 0), stroke: "fine" },
    { label: "radius", values: values("radius_agent", 0), stroke: "limit", dash: [8, 5] }], [], `KL of agent ${agent}`);
}

function updateHeard(agent) {
  const from = new Map();
  for (const [source, to, kind, messages, bytes] of pattern()) {
    if (to !== agent) continue;
    const row = from.get(source) || { kinds: [], messages: 0, bytes: 0 };
    row.kinds.push(run.about.kinds[kind]);
    row.messages += messages;
    row.bytes += bytes;
    from.set(source, row);
  }
  byId("heard-title").textContent = roundsKnown() ? `Heard in round ${roundAt(index())}` : "Heard: no round yet";
  const body = document.querySelector("#heard tbody");
  body.replaceChildren(...[...from].sort((a, b) => a[0] - b[0]).map(([source, row]) => {
    const line = document.createElement("tr");
    const isAgent = source < SIM;
    const told = (kind, name) => (isAgent && row.kinds.includes(kind) ? numbers(figure(name, source)) : "-");
    for (const text of [processWords(source), row.kinds.join(", "), String(row.messages), bytesWords(row.bytes),
      told("turn", "kl_agent"), told("slack", "lambda_agent")]) line.insertCell().textContent = text;
    return line;
  }));
}

async function updateLog(agent) {
  const place = byId("log"), title = byId("log-title");
  const show = (log) => {
    title.textContent = log.life === null ? "It has written no log yet" : `End of its log (life ${log.life})`;
    if (place.textContent !== log.text) { place.textContent = log.text; place.scrollTop = place.scrollHeight; }
  };
  if (run.stored) { show(run.stored.logs[named(agent)]); return; }
  const key = `${agent} ${run.status ? run.status.round : 0} ${(statusOf(named(agent)) || {}).pid} ${health(named(agent))}`;
  if (agentPanel.logOf === key) return;
  agentPanel.logOf = key;
  try {
    const answer = await fetch(`api/log?process=${named(agent)}`);
    if (answer.ok && run.chosen === agent) show(await answer.json());
  } catch (error) { title.textContent = "Its log cannot be had: the server has ended"; }
}

async function write(verb) {
  const done = byId("done"), agent = run.chosen;
  done.textContent = `${verb} agent ${agent}: asked`;
  try {
    const answer = await fetch(`api/${verb}`, { method: "POST",
      headers: { "Content-Type": "application/json", "X-Scalmarl-Token": page.token }, body: JSON.stringify({ process: named(agent) }) });
    const told = await answer.json();
    done.textContent = answer.ok ? `${verb}: ${told.process}${verb === "kill" && told.pid ? ` (pid ${told.pid})` : ""}, done` : `${told.error.message}; ${told.error.hint}`;
  } catch (error) { done.textContent = "the server has ended"; }
}

async function copy(text) {
  const done = byId("done");
  try {
    await navigator.clipboard.writeText(text);
    done.textContent = `copied: ${text}`;
  } catch (error) { done.textContent = `copy it from here: ${text}`; }
}
