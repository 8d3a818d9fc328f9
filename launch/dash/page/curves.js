// Curves with their limits, and vertical marks at deaths and restarts.
"use strict";

const curves = {};
const drawnAs = {};
const AXIS_WORDS = { env_steps: "environment steps", round: "rounds", minutes: "minutes of wall time", bytes: "MB sent by all agents" };

// The x of every recorded round, at its end.
function axis() {
  const name = byId("axis").value;
  const { columns } = run;
  const count = roundsKnown();
  if (name === "round") return columns.round.map((round) => round + 1);
  if (name === "env_steps") return columns.round.map((round) => (round + 1) * run.about.samples);
  let total = 0;
  const step = name === "minutes" ? (i) => (columns.wall_s[i] || 0) / 60
    : (i) => sum(each(columns.bytes_agent[i]).map((bytes) => bytes || 0)) / 1e6;
  return Array.from({ length: count }, (_, i) => (total += step(i)));
}

// The x of a place between rounds.
function xOf(place, xs) {
  const round = Math.floor(place);
  const i = run.columns.round.findIndex((known) => known >= round);
  if (i < 0) return xs[xs.length - 1];
  const before = i ? xs[i - 1] : 0;
  return before + (xs[i] - before) * (run.columns.round[i] === round ? place - round : 0);
}

// What a chart shows: {label, values, stroke, dash, points} each; limits: [{label, value}].
function chart(id, series, limits, title) {
  const element = byId(id);
  const xs = roundsKnown() ? axis() : [];
  const flat = limits.map(({ value }) => xs.map(() => value));
  const data = [xs, ...series.map((one) => one.values), ...flat];
  const shape = JSON.stringify([series.map((one) => one.label), limits, byId("axis").value]);
  const words = series.map((one) => {
    const value = one.values[index()];
    return `${one.label} ${number(value)}`;
  }).concat(limits.map((limit) => `${limit.label} ${number(limit.value)}`)).join(", ");
  element.setAttribute("aria-label", `${title} against ${AXIS_WORDS[byId("axis").value]}; ` +
    `in the round that is looked at: ${words}`);
  const known = curves[id];
  if (known && known.shape === shape) {
    known.plot.setData(data);
    return;
  }
  if (known) known.plot.destroy();
  const plot = new uPlot(chartOptions(element, series, limits), data, element);
  curves[id] = { plot, shape };
  if (!known) new ResizeObserver(() => curves[id].plot.setSize(sizeOf(element))).observe(element);
}

const sizeOf = (element) => ({ width: Math.max(220, Math.floor(element.clientWidth)), height: 190 });

function chartOptions(element, series, limits) {
  const grid = { stroke: () => colour("line"), width: 1 };
  const one = (values) => values.map((value) => (Math.abs(value) >= 1e6 ? `${value / 1e6}M` : Math.abs(value) >= 1e4 ? `${value / 1e3}k` : String(value)));
  return {
    ...sizeOf(element),
    scales: { x: { time: false }, y: { range: (_, low, high) => padded(low, high) } },
    legend: { live: true },
    cursor: { points: { size: 6 } },
    axes: [
      { stroke: () => colour("soft"), grid, ticks: grid, values: (_, values) => one(values), size: 44, space: 60,
        label: AXIS_WORDS[byId("axis").value], labelSize: 20, labelFont: "12px system-ui", font: "12px system-ui" },
      { stroke: () => colour("soft"), grid, ticks: grid, size: 58, space: 28, font: "12px system-ui", values: (_, values) => values.map((value) => number(value, 4)) },
    ],
    series: [
      { label: "at", value: (_, value) => number(value, 6) },
      ...series.map((s) => ({
        label: s.label, stroke: () => colour(s.stroke), width: s.width || 1.75, dash: s.dash, spanGaps: true,
        points: { show: s.values.filter((value) => value !== null).length < 40 && !s.dash, size: 5 }, value: (_, value) => number(value, 4),
      })),
      ...limits.map((limit) => ({
        label: limit.label, stroke: () => colour(limit.stroke || "limit"), width: 1.5, dash: limit.dash || [8, 5],
        points: { show: false }, value: (_, value) => number(value, 4),
      })),
    ],
    hooks: { draw: [drawMarks] },
  };
}

function padded(low, high) {
  if (low === null || low === undefined || high === null) return [0, 1];
  const space = (high - low || Math.abs(high) || 1) * 0.06;
  return [low - space, high + space];
}

// Deaths and returns, and the round that is looked at.
function drawMarks(plot) {
  const xs = plot.data[0];
  if (!xs.length) return;
  const { ctx } = plot;
  const { top, height, left, width } = plot.bbox;
  const line = (x, stroke, dash, thick) => {
    const at = plot.valToPos(x, "x", true);
    if (at < left || at > left + width) return;
    ctx.save();
    ctx.strokeStyle = stroke; ctx.lineWidth = thick * devicePixelRatio; ctx.setLineDash(dash);
    ctx.beginPath(); ctx.moveTo(at, top); ctx.lineTo(at, top + height); ctx.stroke();
    ctx.restore();
  };
  for (const event of run.events) {
    if (event.place === null || !["death", "back", "restart"].includes(event.event)) continue;
    line(xOf(event.place, xs), colour(event.event === "death" ? "dead" : "turn"), event.event === "death" ? [] : [3, 3], 1.25);
  }
  if (!isLatest()) line(xs[index()], colour("ink"), [], 1.5);
}

function column(name) {
  const count = roundsKnown();
  return (run.columns[name] || Array(count).fill(null)).map((value) => (typeof value === "number" ? value : null));
}

function has(values) { return values.some((value) => value !== null); }

// What the curves are a function of: they are drawn anew only when it changes.
const curvesKey = () => `${run.version} ${run.at} ${byId("axis").value}`;

function updateCurves() {
  if (drawnAs.team === curvesKey()) return;
  drawnAs.team = curvesKey();
  const still = run.about.standing_still_return;
  const rate = { label: "per episode length", values: column("return_rate"), stroke: "fine", width: 1.25 };
  const whole = { label: "whole episodes", values: column("return_team"), stroke: "second", width: 2.75 };
  const anchors = still === null ? [] : [{ label: "standing still", value: still, stroke: "ended", dash: [2, 4] }];
  chart("return", has(whole.values) ? [rate, whole] : [rate], anchors, "Return of the team");
  const costRate = { label: "per episode length", values: column("cost_rate_team"), stroke: "fine", width: 1.25 };
  const costWhole = { label: "whole episodes", values: column("cost_team"), stroke: "second", width: 2.75 };
  chart("cost", has(costWhole.values) ? [costRate, costWhole] : [costRate], limitLines(run.about.limits.flat()), "Cost of the team");
  byId("cost-title").textContent = run.about.cost_mode === "local"
    ? "Cost: per step the largest of any agent, summed over an episode; dashed: the limit of an agent" : "Cost; dashed: its limit";
  const { sent, whole: all } = bytesSoFar();
  const bar = (title, bytes, most, kind) => `<div class="bar ${kind}"><span>${title}</span><div style="width:${(100 * bytes / Math.max(most, 1)).toFixed(1)}%"></div></div>`;
  byId("bytes").innerHTML = bar("these agents", sent, Math.max(sent, all), "") + bar("all to all", all, Math.max(sent, all), "whole");
  byId("bytes-words").textContent = roundsKnown()
    ? `${bytesWords(sent)} on the wire from all agents in ${index() + 1} rounds; if every agent heard every other it would have been ${bytesWords(all)}` +
      (all > 0 ? `, ${number(all / Math.max(sent, 1), 3)} times as much.` : ".") : "No round is committed yet.";
}

// At most three lines: more limits than that are shown by their ends.
function limitLines(limits) {
  const different = [...new Set(limits)].sort((a, b) => a - b);
  const shown = different.length > 3 ? [different[0], different[different.length - 1]] : different;
  return shown.map((value) => ({ label: different.length > 1 ? `limit ${number(value)}` : "limit", value }));
}
