"""Every event that the launcher notes has its words."""

from __future__ import annotations

import re
from pathlib import Path

import scalmarl.launch
from scalmarl.launch.story import WORDS, words


def test_every_event_in_the_source_has_words_and_no_words_are_left_over() -> None:
    source = "".join(path.read_text(encoding="utf-8") for path in Path(scalmarl.launch.__file__).parent.glob("*.py"))
    noted = set(re.findall(r'note_event\(\s*[\w.]+,\s*"([\w -]+)"', source))
    assert noted | {"finished", "stopped", "failed"} == set(WORDS)


def test_an_event_is_told_with_its_figures() -> None:
    death = {
        "time": 1.0, "event": "death", "process": "agent/2", "pid": 7, "signal": "SIGKILL", "code": None,
        "cause": "SIGKILL", "round": 5, "step": 31, "phase": "sampling",
    }  # fmt: skip
    assert words(death) == "SIGKILL in round 5, step 31, phase sampling (pid 7)"
    assert words({"time": 0.0, "event": "regroup", "process": None, "round": 3, "absent": []}).endswith(
        "absent: nobody"
    )


def test_an_event_of_another_version_is_told_as_it_is() -> None:
    assert words({"time": 0.0, "event": "eclipse", "process": None, "moon": 3, "sun": None}) == "moon=3"
    assert words({"time": 0.0, "event": "death", "process": "sim", "pid": 3}) == "pid=3"
