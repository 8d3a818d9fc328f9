"""An agent's process: forked from the warm fork server, given its charge over the control channel."""

from __future__ import annotations

import os
import socket
import sys

from scalmarl.agents.body import agent_body
from scalmarl.protocol.charge import Charge
from scalmarl.protocol.effects import Body
from scalmarl.protocol.lifeline import die_with_parent
from scalmarl.protocol.plan import Plan
from scalmarl.protocol.round_files import RoundFiles, RoundRow
from scalmarl.protocol.shell import Parts, serve


def main(end: socket.socket) -> None:
    """Target of the fork; never returns."""
    if "torch" not in sys.modules:
        print("the fork server did not preload torch; this agent starts slowly", file=sys.stderr)
    from scalmarl.agents import preload

    die_with_parent(preload.FORK_SERVER if os.getpid() != preload.FORK_SERVER else os.getppid())
    serve(end, make_parts)


def make_parts(plan: Plan, charge: Charge, row: RoundRow) -> Parts:
    """The agent's body around a fresh learner, and its round files."""
    from scalmarl.agents.learner import Learner

    me = charge.process

    def make_body(round: int, content: bytes | None) -> Body:
        return agent_body(me, plan, Learner(plan, me), round, content)

    return Parts(make_body, RoundFiles(charge.run_directory, me, plan, row))
