"""What a byte of a frame costs: real frames between two encrypted mailboxes of this process.

What a frame costs besides depends on the process around it, and is fitted to launches; its bytes alone (copies,
checksum, encryption, the kernel's pipe) are too cheap beside that to be told apart there.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np

from scalmarl.launch.errors import MachineNotFit
from scalmarl.protocol.codec import HEADER_BYTES, curve_wire_bytes, decode, encode, largest_frame
from scalmarl.protocol.keys import Key, Kind
from scalmarl.protocol.kinds import Rules, form
from scalmarl.protocol.messages import Message, MessageType
from scalmarl.protocol.plan import Plan
from scalmarl.protocol.sockets import Mailbox, new_keys

FRAMES = 400
ROUNDS = 5
ARRIVES_WITHIN_S = 10.0


def byte_cost(small: Plan, large: Plan) -> float:
    """Processor seconds per wire byte at either end: the difference between the frames of two plans that differ in
    copies alone. Raises ``MachineNotFit`` where frames do not arrive."""
    (few, fast), (many, slow) = (_frame_cost(plan) for plan in (small, large))
    return max(0.0, (slow - fast) / (many - few) / 2)


def _frame_cost(plan: Plan) -> tuple[int, float]:
    """Wire bytes of agent 0's state, and the least processor seconds that both ends take for one."""
    key = Key(0, Kind.STATE, 0, 0, 0)
    dtype, shape = form(plan, key)
    value = np.zeros(shape, dtype)
    message, wire_bytes = Message(MessageType.VALUE, 0, -1, key, value), curve_wire_bytes(HEADER_BYTES + value.nbytes)
    keys, rules, largest = [new_keys(), new_keys()], Rules(plan), largest_frame(plan)
    with tempfile.TemporaryDirectory(prefix="scalmarl-bench-") as directory:
        ends = [
            Mailbox(keys[me], {keys[1 - me].public: 1 - me}, f"ipc://{Path(directory) / str(me)}", largest)
            for me in (0, 1)
        ]
        try:
            ends[0].connect(1, ends[1].endpoint)
            _pass(ends, message, plan, rules, 1)
            spent = []
            for _ in range(ROUNDS):
                before = time.process_time()
                _pass(ends, message, plan, rules, FRAMES)
                spent.append((time.process_time() - before) / FRAMES)
        finally:
            for end in ends:
                end.close()
    return wire_bytes, min(spent)


def _pass(ends: list[Mailbox], message: Message, plan: Plan, rules: Rules, count: int) -> None:
    """So many frames from the first to the second, one at a time."""
    deadline = time.monotonic() + ARRIVES_WITHIN_S
    for _ in range(count):
        ends[0].send(1, encode(message, plan.run, 0))
        while (received := ends[1].receive()) is None:
            if time.monotonic() > deadline:
                raise MachineNotFit("a frame between two mailboxes of this process did not arrive", "scalmarl doctor")
            ends[1].wait(1.0)
        decode(received[1], rules, plan.run, 1, received[0])
