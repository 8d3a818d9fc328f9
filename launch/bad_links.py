"""Bad links as a user writes them, ``1-2:delay=50ms,loss=2%,cut=10s-20s``, turned into what each process does to its
frames.

Rules of this file: it decides nothing about frames (``protocol.link_faults`` does) and reads nothing but the plan.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from scalmarl.launch.errors import UsageProblem
from scalmarl.launch.option_types import read_seconds
from scalmarl.protocol.keys import process_id, process_name
from scalmarl.protocol.link_faults import LinkFault, Span
from scalmarl.protocol.plan import Plan

ANY = "*"
LONGEST_DELAY_S = 60.0
GRAMMAR = "write A-B:OPTION,... for both directions or A>B:OPTION,... for one, for example 1-2:delay=50ms,loss=2%"
_OPTIONS = {
    "delay": "delay=50ms or delay=0ms-200ms",
    "loss": "loss=2%",
    "duplicate": "duplicate=10%",
    "cut": "cut=10s-20s",
}
_LINK = re.compile(r"([^->:]*)([->])([^->:]*)")
_SHARE = re.compile(r"(\d+(?:\.\d+)?)%")

BadLinks = dict[int, dict[int, LinkFault]]
"""Sender -> receiver -> what happens to the sender's frames; without the links that are as they should be."""


@dataclass(frozen=True)
class Told:
    """One ``--link``, read but not yet held against a plan. An end is a process id or ``None`` for any."""

    text: str
    ends: tuple[int | None, int | None]
    is_one_way: bool
    options: dict[str, Any]

    def problem(self, what: str, hint: str) -> UsageProblem:
        """What is wrong with it."""
        return UsageProblem(f"link {self.text!r} (--link, processes.links): {what}", hint)

    def words(self) -> str:
        """For the banner: ``1-2: delay 50 ms, loss 2%, cut from 10 s to 20 s``."""
        parts = []
        for name, value in self.options.items():
            if name == "cut":
                parts += [f"cut from {begin:g} s to {end:g} s" for begin, end in value]
            elif name == "delay":
                low, high = (1000 * seconds for seconds in value)
                parts.append(f"delay {low:g} ms" if low == high else f"delay {low:g} to {high:g} ms")
            else:
                parts.append(f"{name} {100 * value:g}%")
        return f"{self.text.partition(':')[0]}: {', '.join(parts)}"


def read_link(text: str) -> Told:
    """Read one bad link. Raises ``UsageProblem`` that names the piece that cannot be read."""
    link, _, said = text.partition(":")
    found = _LINK.fullmatch(link)
    told = Told(text, (None, None), False, {})
    if found is None:
        raise told.problem(f"{link!r} is not A-B or A>B", GRAMMAR)
    ends = tuple(_end(told, name) for name in (found[1], found[3]))
    if not said:
        raise told.problem("it says nothing about the link", f"add one of {', '.join(_OPTIONS.values())} after a colon")
    options: dict[str, Any] = {}
    for piece in said.split(","):
        name, equals, value = piece.partition("=")
        if name not in _OPTIONS or not equals:
            near = difflib.get_close_matches(name, _OPTIONS, 1, 0.5)
            hint = f"did you mean {_OPTIONS[near[0]]}? " if near else ""
            raise told.problem(f"{piece!r} is no option", f"{hint}choose from {', '.join(_OPTIONS.values())}")
        if name == "cut":
            options[name] = (*options.get(name, ()), _cut(told, piece, value))
        elif name in options:
            raise told.problem(f"{name} is given twice", "give it once; only cut may be repeated")
        else:
            options[name] = _delay(told, piece, value) if name == "delay" else _share(told, piece, value)
    return Told(text, (ends[0], ends[1]), found[2] == ">", options)


def bad_links(texts: Sequence[str], plan: Plan) -> BadLinks:
    """What each process of a plan does to the frames that it sends. Raises ``UsageProblem``.

    Of several texts about one direction the later wins, option by option; cuts add up.
    """
    plan = replace(plan, absent=())
    links: BadLinks = {}
    for told in (read_link(text) for text in texts):
        for sender, receiver in _directions(told, plan):
            row = links.setdefault(sender, {})
            before = row.get(receiver, LinkFault())
            changes = {name: value for name, value in told.options.items() if name != "cut"}
            row[receiver] = replace(before, cuts=before.cuts + told.options.get("cut", ()), **changes)
    return links


def _directions(told: Told, plan: Plan) -> list[tuple[int, int]]:
    """The (sender, receiver) pairs that a text speaks of."""
    for end in told.ends:
        if end is not None and end not in plan.processes():
            raise told.problem(
                f"there is no {process_name(end)} in this run",
                f"it has agents 0 to {plan.agents - 1}, sim and coordinator",
            )
    one, other = told.ends
    if one is not None and other is not None and other not in plan.peers(one):
        raise told.problem(f"{process_name(one)} has no link to {process_name(other)}", _whom(plan, one, other))
    firsts = plan.processes() if one is None else (one,)
    pairs = [(a, b) for a in firsts for b in plan.peers(a) if other in (None, b)]
    return pairs if told.is_one_way else [*pairs, *((b, a) for a, b in pairs if (b, a) not in pairs)]


def _whom(plan: Plan, one: int, other: int) -> str:
    if one == other:
        return "name two processes"
    heard = ", ".join(str(peer) for peer in plan.neighbours[one])
    if not heard:
        return f"agent/{one} hears no other agent in this run; its links are those to sim and coordinator"
    return f"with kappa {plan.kappa} agent/{one} is linked with agents {heard}, sim and coordinator; name one of them"


def _end(told: Told, name: str) -> int | None:
    if name == ANY:
        return None
    try:
        return process_id(name)
    except ValueError:
        raise told.problem(
            f"{name!r} names no process", "name an agent by its number, sim, coordinator, or * for any"
        ) from None


def _seconds(told: Told, piece: str, text: str) -> float:
    found = read_seconds(text)
    if found is None:
        raise told.problem(f"{text!r} in {piece!r} is no time", "write a number with its unit, like 50ms or 10s")
    return found


def _delay(told: Told, piece: str, text: str) -> Span:
    first, dash, last = text.partition("-")
    low = _seconds(told, piece, first)
    high = _seconds(told, piece, last) if dash else low
    if low > high:
        raise told.problem(f"{piece!r} ends before it begins", f"turn it round: delay={last}-{first}")
    if high > LONGEST_DELAY_S:
        raise told.problem(f"{piece!r} is too long", f"at most {LONGEST_DELAY_S:g}s; to let nothing through, use cut")
    return low, high


def _cut(told: Told, piece: str, text: str) -> Span:
    first, dash, last = text.partition("-")
    if not dash:
        raise told.problem(f"{piece!r} is no span", "say when it begins and ends, counted from the launch: cut=10s-20s")
    begin, end = _seconds(told, piece, first), _seconds(told, piece, last)
    if begin >= end:
        raise told.problem(f"{piece!r} does not end after it begins", "write the earlier time first: cut=10s-20s")
    return begin, end


def _share(told: Told, piece: str, text: str) -> float:
    found = _SHARE.fullmatch(text)
    if found is None or float(found[1]) > 100:
        raise told.problem(f"{text!r} in {piece!r} is no share", "write a percentage from 0% to 100%")
    return float(found[1]) / 100
