"""What the coordinator does in a round: grant turns in order, wait for every file, commit.

Rules of this file: pure; no state, reward, advantage, ratio or KL term ever reaches it.
"""

from __future__ import annotations

from collections.abc import Generator

import msgpack
import numpy as np

from scalmarl.protocol.effects import Body, Breathe, Effect, checkpoint, need_all, need_any, put
from scalmarl.protocol.keys import COORDINATOR, SIM, Key, Kind
from scalmarl.protocol.order import predecessors, turn_order
from scalmarl.protocol.plan import Plan


def coordinator_body(plan: Plan, round: int) -> Body:
    """Rounds from ``round`` to the plan's end."""
    while round < plan.rounds:
        yield Breathe("turns")
        yield from grant_turns(plan, round)
        finished = [Key(process, Kind.DONE, process, round, 0) for process in (*plan.present, SIM)]
        digests = yield from need_all(finished)
        yield from checkpoint(round + 1, commit_record(finished, [digest.tobytes() for digest in digests]))
        yield from put(Key(COORDINATOR, Kind.COMMIT, COORDINATOR, round, 0), np.array([round], dtype="<i8"))
        round += 1


def grant_turns(plan: Plan, round: int) -> Generator[Effect, object, None]:
    """Grant every agent its turn once those it must wait for have had theirs.

    ``serial``: it waits for all agents before it in the order; ``wavefront``: for those inside kappa hops only. The
    keys and the bits are the same; only the waiting differs.
    """
    order = turn_order(plan, round)
    near = predecessors(plan, round)
    waits_for = {a: near[a] if plan.schedule == "wavefront" else frozenset(order[:n]) for n, a in enumerate(order)}
    waiting, playing = list(order), list[int]()
    finished = set[int]()
    while len(finished) < len(order):
        for agent in [agent for agent in waiting if waits_for[agent] <= finished]:
            waiting.remove(agent)
            playing.append(agent)
            yield from put(Key(COORDINATOR, Kind.GRANT, agent, round, 0), np.empty(0, dtype="u1"))
        over = yield from need_any([Key(agent, Kind.TURN_DONE, agent, round, 0) for agent in playing])
        playing.remove(over.producer)
        finished.add(over.producer)


def commit_record(keys: list[Key], digests: list[bytes]) -> bytes:
    """One line of the commit log: the digest of every process's next file."""
    return bytes(msgpack.packb([[key.producer, digest] for key, digest in zip(keys, digests)]))


def read_commit_record(record: bytes) -> dict[int, bytes]:
    """The inverse of ``commit_record``: process -> digest."""
    return {process: bytes(digest) for process, digest in msgpack.unpackb(record)}
