"""Who sent how much to whom: measured at the sockets, beside the closed formula.

Everything but ``repeat_bytes`` and ``control`` counts first sendings, which are a function of the configuration alone.
Wire bytes are what ZeroMQ writes with CURVE; TCP/IP headers are not included.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from typing import Any

from scalmarl.launch.errors import TrainingFailed
from scalmarl.launch.records import read_lines
from scalmarl.launch.run_directory import SCHEMA, RunDirectory
from scalmarl.protocol.graph import graph_of_edges, hop_distances
from scalmarl.protocol.keys import COORDINATOR, SIM, Kind, process_name
from scalmarl.protocol.ledger import CONTROL, Count, Table, Totals, from_rows, predicted
from scalmarl.protocol.plan import Plan
from scalmarl.protocol.round_files import process_directory

Pairs = dict[tuple[int, int, int], Count]
"""(source, destination, kind) -> count."""


def rounds_by_absence(run: RunDirectory) -> Counter[tuple[int, ...]]:
    """The absent agents -> in how many recorded rounds it was these."""
    return Counter(tuple(line.get("absent", ())) for line in read_lines(run.traffic))


def first_sendings(run: RunDirectory) -> Pairs:
    """The sum of the first sendings of all recorded rounds."""
    pairs: Pairs = {}
    for line in read_lines(run.traffic):
        for source, *row in line["sent"]:
            for (to, kind), count in from_rows([row]).items():
                at = (source, to, kind)
                pairs[at] = pairs[at].plus(count) if at in pairs else count
    return pairs


def totals(run: RunDirectory, plan: Plan, process: int) -> Table:
    """All frames that met a socket in every life of a process."""
    return _counted(run, plan, process).table()


def _counted(run: RunDirectory, plan: Plan, process: int) -> Totals:
    path = process_directory(run.path, process) / "totals.bin"
    size = 8 * Totals.size(plan, process)
    data = path.read_bytes() if path.exists() else b""
    return Totals(plan, process, memoryview(bytearray(data[:size].ljust(size, b"\0"))).cast("Q"))


def report(run: RunDirectory, plan: Plan) -> dict[str, Any]:
    """The document of ``scalmarl traffic --json``. ``repeat_bytes`` is ``None`` until every round is recorded."""
    # The rounds first: where they are all there, the sendings that are read after them are too.
    rounds, first = rounds_by_absence(run), first_sendings(run)
    # A round that is under way is in the totals, and nothing tells its first sendings from repeats.
    is_whole = sum(rounds.values()) >= plan.rounds
    edges = ((agent, other) for agent, row in enumerate(edges_of(run)) for other in row)
    hops = hop_distances(graph_of_edges(plan.agents, edges))
    everybody = (*range(plan.agents), SIM, COORDINATOR)
    counted = {process: _counted(run, plan, process) for process in everybody}
    sent = {process: found.table() for process, found in counted.items()}
    pairs = [
        {
            "src": process_name(source),
            "dst": process_name(to),
            "hops": hops.get(source, {}).get(to),
            "kind": Kind(kind).name.lower(),
            "messages": count.messages,
            "payload_bytes": count.payload_bytes,
            "wire_bytes": count.wire_bytes,
            "repeat_bytes": _repeats(sent[source].get((to, kind)), count) if is_whole else None,
        }
        for (source, to, kind), count in sorted(first.items())
    ]
    control = [
        {"src": process_name(process), "dst": process_name(to), "messages": c.messages, "wire_bytes": c.wire_bytes}
        for process, table in sent.items()
        for (to, kind), c in sorted(table.items())
        if kind == CONTROL
    ]
    lost = [
        {"src": process_name(process), "dst": process_name(to), "messages": c.messages, "wire_bytes": c.wire_bytes}
        for process, found in counted.items()
        for to, c in sorted(found.lost().items())
    ]
    rows = neighbourhoods(plan, rounds, first)
    return {
        "schema": SCHEMA,
        "rounds": sum(rounds.values()),
        "pairs": pairs,
        "neighbourhoods": rows,
        "control": control,
        "lost": lost,
    }


def edges_of(run: RunDirectory) -> list[list[int]]:
    """For each agent, the graph neighbours of higher number that ``graph.json`` names. Raises ``TrainingFailed``."""
    try:
        data = json.loads(run.graph.read_text(encoding="utf-8"))
        rows: list[list[int]] = [[] for _ in data["nodes"]]
        for edge in data["edges"]:
            rows[edge["source"]].append(edge["target"])
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise TrainingFailed(f"{run.graph} cannot be read ({error!r})", "put back a copy") from None
    return rows


def _repeats(total: Count | None, first: Count) -> int:
    # A frame that a bad link held when its process was killed was sent first and met no socket.
    return max(0, total.wire_bytes - first.wire_bytes) if total else 0


def neighbourhoods(plan: Plan, rounds: Counter[tuple[int, ...]], first: Pairs) -> list[dict[str, Any]]:
    """Wire bytes of every agent, measured over ``rounds`` (by absence), and by formula."""
    return [_neighbourhood(plan, agent, rounds, first) for agent in range(plan.agents)]


def _neighbourhood(plan: Plan, agent: int, rounds: Counter[tuple[int, ...]], first: Pairs) -> dict[str, Any]:
    sent = sum(count.wire_bytes for (source, _, _), count in first.items() if source == agent)
    received = sum(count.wire_bytes for (_, to, _), count in first.items() if to == agent)
    return {
        "agent": agent,
        "members": list(plan.neighbourhood(agent)),
        "sent_bytes": sent,
        "received_bytes": received,
        "per_round_bytes": sent / max(sum(rounds.values()), 1),
        "predicted_bytes": predicted_bytes(plan, agent, rounds),
    }


def predicted_bytes(plan: Plan, agent: int, rounds: Counter[tuple[int, ...]]) -> float:
    """Of a round, by the formula; a mean where agents were absent in some rounds."""
    of_round = {
        absent: sum(count.wire_bytes for count in predicted(replace(plan, absent=absent), agent).values())
        for absent in rounds or {(): 1}
        if agent not in absent
    }
    if len(rounds) <= 1:
        return next(iter(of_round.values()), 0)
    return sum(count * of_round.get(absent, 0) for absent, count in rounds.items()) / sum(rounds.values())


def all_to_all_bytes(plan: Plan, agent: int) -> int:
    """What the agent would send in a round if every agent heard every other (kappa >= diameter)."""
    return _sent_bytes(_all_to_all(plan), agent)


def all_to_all_of_each(plan: Plan) -> list[int]:
    """The same of every agent."""
    full = _all_to_all(plan)
    return [_sent_bytes(full, agent) for agent in range(plan.agents)]


def _all_to_all(plan: Plan) -> Plan:
    everybody = tuple(tuple(j for j in range(plan.agents) if j != i) for i in range(plan.agents))
    return replace(plan, neighbours=everybody, absent=())


def _sent_bytes(plan: Plan, agent: int) -> int:
    return sum(count.wire_bytes for count in predicted(plan, agent).values())
