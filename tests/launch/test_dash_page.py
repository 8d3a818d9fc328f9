"""The page in a real browser: drawn from a real run, keyboard and narrow screen, Kill and Restart, nothing from
outside."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from scalmarl.launch.dash import export as dash_export
from scalmarl.launch.records import read_lines
from scalmarl.launch.run_directory import RunDirectory

sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install playwright")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs a Chromium: apt install chromium")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update",
)  # fmt: skip
DRAWN = 'body[data-drawn]:not([data-drawn="0"])'
WITHIN_MS = 60_000
WIDTHS = (1280, 390)
PAINTED = """(where) => [...document.querySelectorAll(where + ' canvas')].some((canvas) =>
  canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.some((value) => value > 0))"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield browser
        browser.close()


class Opened:
    """A page that remembers what it asked for and complained about."""

    def __init__(self, browser: Any, address: str, width: int = 1280) -> None:
        self.page = browser.new_page(viewport={"width": width, "height": 900})
        self.page.set_default_timeout(WITHIN_MS)
        self.asked: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on(
            "console", lambda said: self.complaints.append(said.text) if said.type in ("error", "warning") else None
        )
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.goto(address)
        self.page.wait_for_selector(DRAWN)

    def text(self, selector: str) -> str:
        return str(self.page.inner_text(selector))

    def close(self, *origins: str) -> None:
        """It complained about nothing, and nothing outside ``origins`` was asked for."""
        self.page.close()
        assert self.complaints == []
        assert [url for url in self.asked if not url.startswith((*origins, "data:", "blob:"))] == []


@pytest.fixture
def exported(calm: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[RunDirectory], str]:
    """Write a run's page, and say where it is."""
    monkeypatch.setattr(dash_export, "_picture", lambda run, data: {"why_not": "none was drawn"})

    def export(run: RunDirectory) -> str:
        path = tmp_path / "page.html"
        dash_export.write_page(run, path)
        return path.as_uri()

    return export


@pytest.mark.parametrize("width", WIDTHS)
def test_a_finished_run_is_drawn(browser: Any, calm: Any, exported: Callable[[RunDirectory], str], width: int) -> None:
    opened = Opened(browser, exported(RunDirectory(calm.path)), width)
    page, lines = opened.page, read_lines(RunDirectory(calm.path).metrics)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.evaluate("[graph.cy.nodes().length, graph.cy.edges('.edge').length]") == [3, 2]
    assert page.evaluate("curves['return'].plot.data[0].length") == len(lines)
    assert page.evaluate("curves['return'].plot.data[1]") == pytest.approx(
        [line["return_rate"] for line in lines], rel=1e-5
    )
    assert page.evaluate("curves['cost'].plot.data.at(-1)") == [5.0] * len(lines)
    for where in ("#graph", "#return", "#cost"):
        assert page.evaluate(PAINTED, where), f"nothing is drawn in {where}"
    sent = sum(sum(line["bytes_agent"]) for line in lines)
    assert page.evaluate("bytesSoFar().sent") == sent

    # By keyboard alone: the graph, the agents' table, the time slider.
    page.focus("#graph")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert opened.text("#agent-title") == "Agent 1"
    assert page.evaluate("graph.cy.nodes('.near').map((node) => node.id()).sort()") == ["0", "2"]
    assert page.evaluate("Object.keys(curves).sort()") == ["agent-cost", "agent-kl", "agent-lambda", "cost", "return"]
    heard = [row.split("\t") for row in opened.text("#heard tbody").splitlines()]
    assert [row[0] for row in heard] == ["agent 0", "agent 2", "sim", "coordinator"]
    assert "committed: round" in opened.text("#log")
    assert page.is_disabled("#kill")
    assert page.is_disabled("#restart")
    page.focus("#slider")
    page.keyboard.press("Home")
    assert opened.text("#slider-words").startswith("Round 0 of")
    assert page.evaluate("bytesSoFar().sent") == sum(lines[0]["bytes_agent"])
    assert opened.text("#heard-title") == "Heard in round 0"
    page.focus("#agents tbody tr:nth-child(3) button")
    page.keyboard.press("Enter")
    assert opened.text("#agent-title") == "Agent 2"
    opened.close("file://")


def test_every_control_and_picture_has_a_name(browser: Any, calm: Any, exported: Callable[[RunDirectory], str]) -> None:
    opened = Opened(browser, exported(RunDirectory(calm.path)))
    opened.page.click("#agents tbody tr:nth-child(1) button")
    nameless = opened.page.evaluate(
        """() => [...document.querySelectorAll('button, select, input, [role=img], [role=region], progress')]
        .filter((e) => !(e.getAttribute('aria-label') || e.getAttribute('aria-labelledby') || e.textContent.trim()
          || (e.labels && e.labels.length))).map((e) => e.outerHTML)"""
    )
    assert nameless == []
    assert "3 in step" in (opened.page.get_attribute("#graph", "aria-label") or "")
    assert "limit 5" in (opened.page.get_attribute("#cost", "aria-label") or "")
    opened.close("file://")


def test_deaths_are_marked_and_several_costs_and_missing_figures_are_drawn(
    browser: Any, calm: Any, exported: Callable[[RunDirectory], str], tmp_path: Path
) -> None:
    run = RunDirectory(tmp_path / "odd")
    shutil.copytree(calm.path, run.path)
    plan = json.loads(run.plan.read_text())
    plan["task"]["cost_limits"], plan["task"]["cost_names"] = [[5.0, 7.0]] * 3, [["wall", "fall"]] * 3
    plan["task"]["standing_still_return"] = None
    run.plan.write_text(json.dumps(plan))
    lines = read_lines(run.metrics)
    for line in lines:
        for name in ("distance_rate", "bound_agent", "radius_agent"):
            del line[name]
        line["lambda_agent"] = [[0.5, 0.25], None, [0.0, 1.0]]
        line["absent"] = [1]
    run.metrics.write_text("".join(json.dumps(line) + "\n" for line in lines))
    events = read_lines(run.events)
    wall = next(event["time"] for event in events if event["event"] == "launch") + sum(
        line["wall_s"] for line in lines[:4]
    )
    death = {"time": wall, "event": "death", "process": "agent/2", "pid": 1, "cause": "SIGKILL", "round": 4}
    back = {"time": wall + 0.01, "event": "back", "process": "agent/2", "seconds": 0.01}
    run.events.write_text("".join(json.dumps(event) + "\n" for event in [*events[:-1], death, back, events[-1]]))
    opened = Opened(browser, exported(run), 390)
    opened.page.click("#agents tbody tr:nth-child(3) button")
    assert opened.page.evaluate("curves['agent-lambda'].plot.series.map((one) => one.label)") == ["at", "wall", "fall"]
    opened.page.evaluate("look(4)")
    assert opened.page.evaluate("health('agent/2')") == "dead"
    assert opened.page.evaluate("graph.cy.getElementById('2').style('shape')") == "octagon"
    opened.page.evaluate("look(6)")
    assert opened.page.evaluate("health('agent/2')") == "fine"
    opened.page.click("#agents tbody tr:nth-child(2) button")
    assert "multiplier -" in opened.text("#agent-facts")
    assert "death" in opened.text("#story")
    opened.close("file://")


def test_kill_on_the_page_kills_and_restart_brings_back(browser: Any, start: Callable[..., Any]) -> None:
    size = ("--agents", "3", "--kappa", "1", "--envs", "4", "--steps", "24", "--rounds", "4000")
    launch = start("page", *size, "--web")
    launch.wait_for_round(2)
    address = next(x for x in launch.said.read_text().splitlines() if x.startswith("page ")).split()[1]
    opened = Opened(browser, address)
    page = opened.page
    assert "token" not in page.url
    before = launch.pid_of("agent/1")
    page.click("#agents tbody tr:nth-child(2) button")
    page.click("#kill")
    page.wait_for_selector("#agents tbody tr:nth-child(2) svg.dead")
    assert "agent/1" not in launch.running()
    assert page.evaluate("graph.cy.getElementById('1').style('shape')") == "octagon"
    page.wait_for_selector("#kill[disabled]")
    page.click("#restart")
    page.wait_for_selector("#agents tbody tr:nth-child(2) svg.fine")
    launch.wait_until(lambda state: launch.running().get("agent/1", before) != before)
    page.wait_for_selector("#done:has-text('restart: agent/1, done')")
    page.click("#copy-kill")
    page.wait_for_selector("#done:has-text('scalmarl kill 1 --run')")
    launch.process.terminate()
    assert launch.end() == 143
    page.wait_for_selector("#state.stopped, #state.lost")
    opened.close(address.partition("#")[0])
