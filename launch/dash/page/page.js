// The page: takes what the server tells (or what is stored in the file), and redraws at most once a second.
"use strict";

const page = { token: "", drawn: 0, waiting: null, playing: null, camera: { round: null, busy: false } };

function draw() {
  if (!run.about) return;
  page.waiting = null;
  page.drawn = performance.now();
  updateHead();
  updateGraph();
  updateAgents();
  updateCurves();
  updateAgent();
  updateStory();
  updateCamera();
  document.body.dataset.drawn = String(roundsKnown());
}

function drawSoon() {
  if (page.waiting !== null) return;
  page.waiting = setTimeout(() => (document.hidden ? (page.waiting = null) : draw()), Math.max(0, 400 - (performance.now() - page.drawn)));
}

function updateHead() {
  const { about, status } = run;
  byId("title").textContent = `${about.name}`;
  byId("subtitle").textContent = `${about.task}, ${about.agents} agents, ${about.algorithm}, ${about.sight}, seed ${about.seed}`;
  if (status && status.processes) {
    byId("state").textContent = status.state;
    byId("state").className = `badge ${status.state}`;
    byId("round").textContent = `${status.round} of ${status.rounds} rounds committed${status.reason ? `; ${status.reason}` : ""}`;
    byId("progress").max = status.rounds;
    byId("progress").value = status.round;
    document.title = `${about.name}: ${status.state}, round ${status.round}`;
  }
  const count = roundsKnown(), slider = byId("slider");
  slider.max = String(Math.max(count - 1, 0));
  slider.value = String(Math.max(index(), 0));
  slider.disabled = byId("play").disabled = count < 2;
  byId("latest").disabled = isLatest();
  const words = count ? `Round ${roundAt(index())}${isLatest() ? (isLive() ? " (live)" : " (last)") : ` of 0 to ${roundAt(count - 1)}`}` : "No round yet";
  byId("slider-words").textContent = words;
  slider.setAttribute("aria-valuetext", words);
  const { waves, holders } = turns();
  const mark = (agent) => (holders.includes(agent) ? `[${agent}]` : `${agent}`);
  const order = waves.map((wave) => (wave.length > 12 ? `${wave.slice(0, 12).map(mark).join(" ")} ...` : wave.map(mark).join(" "))).join("  →  ");
  byId("turn").textContent = waves.length === 0 ? "" : `turns: ${order}` + (holders.length ? `; now ${holders.join(", ")}` : "");
}

function updateStory() {
  const round = index() < 0 ? null : roundAt(index());
  const key = `${run.events.length} ${isLatest() ? "" : round} ${run.events.map((e) => e.place).slice(-3)}`;
  if (page.story === key) return;
  page.story = key;
  const lines = run.events.slice(-500).map((event) => {
    const line = document.createElement("li");
    const isNow = !isLatest() && event.place !== null && Math.floor(event.place) === round;
    line.className = `${event.event.replaceAll(" ", "-")}${isNow ? " now" : ""}`;
    line.textContent = `${event.seconds.toFixed(1)} s  ${event.process || ""} ${event.event}: ${event.words}`;
    return line;
  });
  byId("story").replaceChildren(...lines.reverse());
}

// ---- the camera ----

async function updateCamera() {
  const image = byId("camera"), words = byId("camera-words");
  byId("nonlocal").textContent = run.about.nonlocal.length ? `Not local by nature: ${run.about.nonlocal.join("; ")}` : "Nothing of this world is shared.";
  if (run.stored) {
    byId("camera-on").disabled = true;
    const { picture } = run.stored;
    if (picture.url) { image.src = picture.url; image.hidden = false; }
    words.textContent = picture.url ? `copy 0 at the start of round ${picture.round}` : `no picture: ${picture.why_not}`;
    image.alt = words.textContent;
    return;
  }
  image.hidden = !byId("camera-on").checked || page.camera.round === null;
  // The newest state is that of the start of the round under way.
  const round = index() < 0 ? 0 : isLatest() ? roundAt(index()) + 1 : roundAt(index());
  if (!byId("camera-on").checked || page.camera.busy || page.camera.asked === round) return;
  page.camera.busy = true;
  page.camera.asked = round;
  if (page.camera.round === null) words.textContent = "starting the camera";
  try {
    const answer = await fetch(`api/camera?round=${round}`);
    if (answer.headers.has("X-Round")) {
      page.camera.round = Number(answer.headers.get("X-Round"));
      if (page.camera.url) URL.revokeObjectURL(page.camera.url);
      page.camera.url = URL.createObjectURL(await answer.blob());
      image.src = page.camera.url;
      image.hidden = !byId("camera-on").checked;
      words.textContent = image.alt = `copy 0 of the world at the start of round ${page.camera.round}`;
    } else {
      words.textContent = (await answer.json()).why_not;
    }
  } catch (error) { words.textContent = "no picture: the server has ended"; }
  setTimeout(() => { page.camera.busy = false; drawSoon(); }, 1000);
}

// ---- what the reader does ----

function look(at) {
  run.at = at >= roundsKnown() - 1 ? null : Math.max(0, at);
  draw();
}

function stopPlaying() {
  clearInterval(page.playing);
  page.playing = null;
  byId("play").textContent = "Play";
}

function play() {
  if (page.playing !== null) { stopPlaying(); return; }
  byId("play").textContent = "Pause";
  if (isLatest()) run.at = 0;
  const step = Math.max(1, Math.round(roundsKnown() / 120));
  page.playing = setInterval(() => { if (isLatest()) stopPlaying(); else look(run.at + step); }, 200);
}

function wire() {
  byId("slider").addEventListener("input", (event) => look(Number(event.target.value)));
  byId("latest").addEventListener("click", () => look(roundsKnown()));
  byId("play").addEventListener("click", play);
  byId("axis").addEventListener("change", draw);
  byId("camera-on").addEventListener("change", () => { page.camera.asked = null; updateCamera(); });
  byId("kill").addEventListener("click", () => write("kill"));
  byId("restart").addEventListener("click", () => write("restart"));
  byId("copy-kill").addEventListener("click", () => copy(command("kill")));
  byId("copy-restart").addEventListener("click", () => copy(command("restart")));
  byId("graph").addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!run.about || (step === undefined && event.key !== "Escape")) return;
    event.preventDefault();
    if (event.key === "Escape") { if (run.chosen !== null) choose(run.chosen, true); return; }
    const from = run.chosen === null ? (step > 0 ? -1 : 0) : run.chosen;
    choose((from + step + run.about.agents) % run.about.agents);
  });
  document.addEventListener("visibilitychange", () => { if (!document.hidden) drawSoon(); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => Object.values(curves).forEach(({ plot }) => plot.redraw()));
  byId("legend").replaceChildren(...Object.entries(SHAPES).map(([name, [, , words]]) => {
    const item = document.createElement("li");
    item.append(shapeOf(name), ` ${words}`);
    return item;
  }));
}

// ---- where it comes from ----

function begin(about) {
  run.about = about;
  Object.assign(run, { columns: {}, patterns: [], events: [], spells: [] });
  run.patternOf.clear();
  if (!graph.cy) drawGraph();
}

function tellProblem(problem) {
  byId("problem").hidden = problem === null;
  if (problem) byId("problem").textContent = `${problem.message}. ${problem.hint}`;
}

function listen() {
  const found = new URLSearchParams(location.hash.slice(1)).get("token");
  try {
    if (found) sessionStorage.setItem("token", found);
    page.token = found || sessionStorage.getItem("token") || "";
  } catch (error) { page.token = found || ""; }
  // So that the token is neither in the history nor in a picture of the screen.
  if (found) history.replaceState(null, "", location.pathname);
  const source = new EventSource("api/stream");
  const on = (name, take) => source.addEventListener(name, (event) => take(JSON.parse(event.data)));
  on("about", (about) => { tellProblem(null); begin(about); });
  on("news", (news) => { takeNews(news); drawSoon(); });
  on("status", (status) => {
    tellProblem(status.problem || null);
    if (!status.problem) run.status = status;
    drawSoon();
  });
  on("problem", (problem) => { tellProblem(problem); source.close(); });
  const lost = () => { byId("state").textContent = "the page's server has ended"; byId("state").className = "badge lost"; };
  on("bye", () => { source.close(); setTimeout(lost, 500); });
  source.addEventListener("error", lost);
}

wire();
const stored = byId("stored");
if (stored) {
  run.stored = JSON.parse(stored.textContent);
  begin(run.stored.about);
  takeNews(run.stored.news);
  run.status = run.stored.status;
  draw();
} else {
  listen();
}
