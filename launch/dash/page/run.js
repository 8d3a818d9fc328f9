// What the page knows of the run, and what follows from it; no drawing here.
"use strict";

const run = {
  version: 0,         // counts what was told
  about: null,
  status: null,
  columns: {},        // name -> one value per recorded round
  patterns: [],       // rows of [source, destination, kind, messages, wire bytes]
  patternOf: new Map(),
  events: [],
  spells: [],
  chosen: null,       // the agent that is looked at
  at: null,           // index of the round that is looked at; null: the latest
  stored: null,       // all at once, on an exported page
};

const byId = (id) => document.getElementById(id);
const SIM = 65534, COORDINATOR = 65535;
// A health: its outline in a box of 20 by 20, its Cytoscape shape, its words.
const SHAPES = {
  fine: ["M10 2a8 8 0 1 0 .01 0Z", "ellipse", "in step"],
  late: ["M10 1 19 10 10 19 1 10Z", "diamond", "late: no sign of life"],
  dead: ["M6.5 2h7L18 6.5v7L13.5 18h-7L2 13.5v-7Z", "octagon", "dead"],
  starting: ["M10 2 19 18H1Z", "triangle", "starting"],
  absent: ["M10 3a7 7 0 1 0 .01 0ZM10 5a5 5 0 1 1-.01 0Z", "ellipse", "absent: the run goes on without it"],
  ended: ["M3 3h14v14H3Z", "round-rectangle", "ended"],
};

function takeNews(news) {
  run.version++;
  if (news.rounds) {
    if (news.rounds.anew) { run.columns = {}; run.at = null; }
    for (const [name, values] of Object.entries(news.rounds.columns))
      run.columns[name] = (run.columns[name] || []).concat(values);
  }
  if (news.traffic) {
    if (news.traffic.anew) run.patternOf.clear();
    run.patterns.push(...news.traffic.patterns);
    for (const [round, pattern] of news.traffic.of_round) run.patternOf.set(round, pattern);
  }
  if (news.events) { run.events = news.events.events; run.spells = news.events.spells; }
}

const roundsKnown = () => (run.columns.round || []).length;
const isLatest = () => run.at === null;
const index = () => (run.at === null ? roundsKnown() - 1 : run.at);
const roundAt = (i) => run.columns.round[i];
const isLive = () => run.status !== null && run.status.state === "running";
const each = (value) => (value === null || value === undefined ? [] : Array.isArray(value) ? value : [value]);
const named = (agent) => `agent/${agent}`;
const processWords = (id) => (id === SIM ? "sim" : id === COORDINATOR ? "coordinator" : `agent ${id}`);

// A figure of an agent in the round that is looked at, as a list with one entry per cost.
function figure(name, agent, i = index()) {
  const column = run.columns[name];
  return i < 0 || !column || column[i] === null || column[i] === undefined ? [] : each(column[i][agent]);
}

function pattern(i = index()) {
  return i < 0 ? [] : run.patterns[run.patternOf.get(roundAt(i))] || [];
}

const statusOf = (name) => ((run.status && run.status.processes) || []).find((process) => process.name === name) || null;

// How a process fares in the round that is looked at: a key of SHAPES.
function health(name) {
  if (isLatest() && isLive()) {
    const process = statusOf(name);
    if (process) {
      if (process.phase === "absent") return "absent";
      if (process.state === "down") return "dead";
      if (process.state === "exited") return "ended";
      if (process.state !== "running") return process.restarts > 0 ? "dead" : "starting";
      return process.silent_s ? "late" : "fine";
    }
    return "starting";
  }
  if (index() < 0) return "ended";
  const round = roundAt(index());
  const away = run.spells.filter((spell) => spell.process === name && spell.since < round + 1 &&
    (spell.until === null || spell.until >= round));
  return ["absent", "dead", "late"].find((what) => away.some((spell) => spell.what === what)) || "fine";
}

function healthWords(name) {
  const found = health(name);
  const process = statusOf(name);
  if (isLatest() && process && isLive()) {
    if (found === "late") return `late: silent for ${process.silent_s} s`;
    if (found === "dead" && process.state !== "down") return "died, is coming back";
    if (found === "dead") return "down";
    if (found !== "fine") return SHAPES[found][2];
    return process.waits_for ? `waits for ${process.waits_for.split(",")[0].replace(" of coordinator", "")}` : process.phase || "runs";
  }
  if (found === "dead") return "died, or was away";
  return found === "fine" ? "took part" : SHAPES[found][2];
}

// The turns of the round that is looked at: waves of agents, and who holds a turn now as far as the last beats tell.
function turns() {
  if (isLatest() && isLive()) {
    const holders = run.status.processes.filter((p) => p.role === "agent" && p.state === "running" &&
      p.phase === "policy" && p.round === run.status.round).map((p) => p.index);
    return { waves: run.status.waves, holders };
  }
  return { waves: index() < 0 ? [] : run.columns.waves[index()], holders: [] };
}

// Wire bytes that all agents sent up to and with a round, and what all-to-all would have sent.
function bytesSoFar(i = index()) {
  let sent = 0, whole = 0;
  const all = run.about.all_to_all_bytes;
  for (let r = 0; r <= i; r++) {
    const gone = new Set(each(run.columns.absent[r]));
    each(run.columns.bytes_agent[r]).forEach((bytes) => { sent += bytes || 0; });
    all.forEach((bytes, agent) => { if (!gone.has(agent)) whole += bytes; });
  }
  return { sent, whole };
}

function bytesWords(count) {
  for (const unit of ["B", "kB", "MB", "GB"]) {
    if (count < 1000 || unit === "GB") return `${unit === "B" ? count.toFixed(0) : count.toFixed(2)} ${unit}`;
    count /= 1000;
  }
  return "";
}

function number(value, digits = 3) {
  if (value === null || value === undefined) return "-";
  if (value === 0) return "0";
  const size = Math.abs(value);
  return size >= 1e5 || size < 1e-3 ? value.toExponential(1) : String(Number(value.toPrecision(digits)));
}

const numbers = (values, digits) => (values.length ? values.map((value) => number(value, digits)).join(" / ") : "-");
