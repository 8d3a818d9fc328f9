"""Bad links: how they are written, which processes they name, and that a run over them ends with the same bits."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scalmarl.launch.bad_links import bad_links, read_link
from scalmarl.launch.config import Config, resolve, to_toml
from scalmarl.launch.errors import UsageProblem
from scalmarl.protocol.keys import COORDINATOR, SIM
from scalmarl.protocol.link_faults import LinkFault
from scalmarl.protocol.standins import toy_plan

Run = Callable[..., "subprocess.CompletedProcess[str]"]
PATH = toy_plan(((1,), (0, 2), (1, 3), (2,)), (0, 1, 0, 1))
"""Four agents on a path, kappa 1."""
LOSS = LinkFault(loss=0.02)


def directions(text: str) -> set[tuple[int, int]]:
    return {(sender, receiver) for sender, row in bad_links([text], PATH).items() for receiver in row}


def test_all_options_of_one_link_are_read() -> None:
    told = "1-2:delay=50ms,loss=2%,duplicate=12.5%,cut=10s-20s,cut=500ms-1.5s"
    fault = LinkFault((0.05, 0.05), 0.02, 0.125, ((10.0, 20.0), (0.5, 1.5)))
    assert bad_links([told], PATH) == {1: {2: fault}, 2: {1: fault}}
    assert bad_links(["1>2:delay=0ms-200ms"], PATH) == {1: {2: LinkFault(delay=(0.0, 0.2))}}
    assert bad_links(["1>2:cut=1m30s-1h"], PATH) == {1: {2: LinkFault(cuts=((90.0, 3600.0),))}}, "times as elsewhere"
    assert bad_links([], PATH) == {}


@pytest.mark.parametrize(
    ("link", "found"),
    [
        ("1-2", {(1, 2), (2, 1)}),
        ("agent/1>agent/2", {(1, 2)}),
        ("sim-3", {(SIM, 3), (3, SIM)}),
        ("coordinator>sim", {(COORDINATOR, SIM)}),
        ("3-*", {(a, b) for peer in (2, SIM, COORDINATOR) for a, b in ((3, peer), (peer, 3))}),
        ("*>3", {(peer, 3) for peer in (2, SIM, COORDINATOR)}),
        ("3>*", {(3, peer) for peer in (2, SIM, COORDINATOR)}),
        ("*-*", {(a, b) for a in PATH.processes() for b in PATH.peers(a)}),
        ("*>*", {(a, b) for a in PATH.processes() for b in PATH.peers(a)}),
    ],
)
def test_ends_name_the_links_that_there_are(link: str, found: set[tuple[int, int]]) -> None:
    assert directions(f"{link}:loss=2%") == found


def test_a_later_text_wins_option_by_option_and_cuts_add_up() -> None:
    links = bad_links(["*-*:loss=2%,cut=1s-2s", "1>2:delay=50ms,cut=3s-4s", "1-2:loss=0%"], PATH)
    assert links[0][1] == LinkFault(loss=0.02, cuts=((1.0, 2.0),))
    assert links[1][2] == LinkFault((0.05, 0.05), 0.0, 0.0, ((1.0, 2.0), (3.0, 4.0)))
    assert links[2][1] == LinkFault(cuts=((1.0, 2.0),))


@pytest.mark.parametrize(
    ("text", "what", "hint"),
    [
        ("12:loss=2%", "'12' is not A-B or A>B", "A>B:OPTION"),
        ("1-2-3:loss=2%", "'1-2-3' is not A-B or A>B", "A>B:OPTION"),
        ("", "'' is not A-B or A>B", "A>B:OPTION"),
        ("1-x:loss=2%", "'x' names no process", "sim, coordinator, or *"),
        ("1-:loss=2%", "'' names no process", "sim, coordinator, or *"),
        ("1-2", "says nothing about the link", "delay=50ms"),
        ("1-2:", "says nothing about the link", "delay=50ms"),
        ("1-2:lost=2%", "'lost=2%' is no option", "did you mean loss=2%?"),
        ("1-2:loss", "'loss' is no option", "did you mean loss=2%?"),
        ("1-2:loss=2%,", "'' is no option", "choose from delay"),
        ("1-2:loss=2", "'2' in 'loss=2' is no share", "percentage from 0% to 100%"),
        ("1-2:duplicate=101%", "'101%' in 'duplicate=101%' is no share", "percentage from 0% to 100%"),
        ("1-2:loss=1%,loss=2%", "loss is given twice", "only cut may be repeated"),
        ("1-2:delay=1h", "'delay=1h' is too long", "at most 60s"),
        ("1-2:delay=50", "'50' in 'delay=50' is no time", "50ms"),
        ("1-2:delay=0-200ms", "'0' in 'delay=0-200ms' is no time", "with its unit"),
        ("1-2:delay=-5ms", "'' in 'delay=-5ms' is no time", "with its unit"),
        ("1-2:delay=200ms-1ms", "ends before it begins", "delay=1ms-200ms"),
        ("1-2:delay=2000s", "'delay=2000s' is too long", "at most 60s"),
        ("1-2:cut=10s", "'cut=10s' is no span", "cut=10s-20s"),
        ("1-2:cut=20s-10s", "does not end after it begins", "cut=10s-20s"),
        ("1-3:loss=2%", "agent/1 has no link to agent/3", "linked with agents 0, 2, sim and coordinator"),
        ("1-1:loss=2%", "agent/1 has no link to agent/1", "name two processes"),
        ("1-4:loss=2%", "there is no agent/4 in this run", "agents 0 to 3"),
        ("*-9:loss=2%", "there is no agent/9 in this run", "agents 0 to 3"),
    ],
)
def test_a_mistake_is_told_with_its_piece_and_its_cure(text: str, what: str, hint: str) -> None:
    with pytest.raises(UsageProblem) as caught:
        bad_links(["sim-0:loss=1%", text], PATH)
    assert caught.value.what.startswith(f"link {text!r} (--link, processes.links): ")
    assert what in caught.value.what
    assert hint in caught.value.hint


def test_agents_that_hear_nobody_have_no_links_among_them() -> None:
    with pytest.raises(UsageProblem) as caught:
        bad_links(["0-1:loss=2%"], toy_plan(((), ()), (0, 0)))
    assert "hears no other agent" in caught.value.hint


def test_the_banner_tells_a_link_in_words() -> None:
    told = read_link("1>sim:delay=0ms-200ms,loss=2%,cut=10s-20s")
    assert told.words() == "1>sim: delay 0 to 200 ms, loss 2%, cut from 10 s to 20 s"
    assert read_link("1-2:delay=50ms,duplicate=2.5%").words() == "1-2: delay 50 ms, duplicate 2.5%"


def test_links_stand_in_the_configuration_and_outside_its_hash(tmp_path: Path) -> None:
    texts = ["1-2:delay=50ms", "*>sim:loss=2%"]
    config, origins = resolve(None, (), {"processes.links": texts})
    assert config.digest() == Config().digest()
    file = tmp_path / "config.toml"
    file.write_text(to_toml(config, origins))
    again, _ = resolve(file, (), {})
    assert again.processes.links == texts


# ---- real processes ----

SIZE = ("--agents", "3", "--kappa", "1", "--envs", "4", "--steps", "12")
BAD = "0-1:loss=10%,duplicate=10%,delay=0ms-20ms"


def first_sendings(traffic: Any) -> list[Any]:
    return [{k: v for k, v in pair.items() if k != "repeat_bytes"} for pair in traffic["pairs"]]


@pytest.mark.chaos
def test_a_bad_link_changes_no_bit_and_no_first_sending_and_resume_keeps_it(
    start: Any, scalmarl: Run, tmp_path: Path
) -> None:
    bad = start("bad-links", *SIZE, "--rounds", "3", "--link", BAD)
    assert bad.end() == 0, bad.words
    assert "bad link   0-1: loss 10%, duplicate 10%, delay 0 to 20 ms" in bad.words
    longer = start("bad-links", str(bad.path), "--rounds", "4", command=("resume",))
    assert longer.end() == 0, longer.words
    state = json.loads((bad.path / "run.json").read_text())
    counts = {process["name"]: set(process["dropped"]) for process in state["processes"]}
    assert {"link lost", "link delayed"} <= counts["agent/0"] & counts["agent/1"], "in the resumed part too"
    assert not any(name.startswith("link ") for name in counts["agent/2"])

    good = tmp_path / "good"
    verified = scalmarl("verify", str(bad.path), "--keep", str(good))
    assert verified.returncode == 0, verified.stdout + verified.stderr
    calm, told = (json.loads(scalmarl("traffic", "--run", str(run), "--json").stdout) for run in (good, bad.path))
    assert first_sendings(told) == first_sendings(calm)
    assert told["neighbourhoods"] == calm["neighbourhoods"]
    assert calm["lost"] == [], "it is repeated without its bad links"
    assert {(row["src"], row["dst"]) for row in told["lost"]} == {("agent/0", "agent/1"), ("agent/1", "agent/0")}
