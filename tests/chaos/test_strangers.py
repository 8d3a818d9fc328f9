"""Strangers at every inbox of a live run, a neighbour that forges, late permission, and a flood from a dying sender."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import zmq
from zmq.utils import z85

from scalmarl.protocol.sockets import Mailbox, new_keys

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(900)]
GROWTH_BYTES = 20 * 2**20
GREETING = b"\xff" + bytes(8) + b"\x7f" + b"\x03\x01"
"""The start of ZMTP 3.1: signature and version."""
CURVE = GREETING + b"CURVE".ljust(20, b"\0") + b"\0" + bytes(31)
"""A whole greeting of a client that will speak CURVE."""
HELLO = b"\x04\xc8" + b"\x05HELLO\x01\x00" + bytes(72 + 32 + 8 + 80)
"""CURVE's first command with nothing true in it."""
HUGE = struct.pack(">Q", 2**63)


def nonsense(draw: random.Random) -> bytes:
    """One visit of a stranger that knows how ZeroMQ begins, and then does not go on as he should."""
    raw = draw.randbytes(draw.randrange(1, 4096))
    return draw.choice(
        [
            raw,
            GREETING[: draw.randrange(1, len(GREETING))],
            CURVE[: draw.randrange(len(GREETING), len(CURVE))],
            CURVE + raw,
            CURVE + HELLO,
            CURVE + HELLO + b"\x06" + HUGE + raw,
            CURVE + b"\x02" + HUGE + raw,
            CURVE + b"\x01\x01x" * 1000,
            GREETING + b"NULL".ljust(20, b"\0") + bytes(32) + b"\x01\x01x" * 1000,
            GREETING + b"PLAIN".ljust(20, b"\0") + bytes(32) + b"\x04\x20\x05HELLO" + raw,
            b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        ]
    )


def inboxes(launch: Any) -> list[tuple[int, Any]]:
    """Address family and address of every inbox of a run: socket files of its private directory, and ports."""
    private = Path(launch.state()["control"]).parent
    found: list[tuple[int, Any]] = [(socket.AF_UNIX, str(path)) for path in private.iterdir() if path.name[0].isdigit()]
    for pid in launch.running().values():
        for connection in psutil.Process(pid).net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN:
                found.append((socket.AF_INET, tuple(connection.laddr)))
    return found


def visit(family: int, address: Any, draw: random.Random, kept: list[socket.socket]) -> bool:
    """Say something to an inbox; now and then stay connected and silent afterwards. Whether it was reached."""
    client = socket.socket(family, socket.SOCK_STREAM)
    client.settimeout(1.0)
    try:
        client.connect(address)
        client.sendall(nonsense(draw))
        client.settimeout(0.01)
        client.recv(4096)
    except TimeoutError:
        pass
    except OSError:
        client.close()
        return False
    if draw.random() < 0.05:
        kept.append(client)
        if len(kept) > 100:
            kept.pop(0).close()
    else:
        client.close()
    return True


@pytest.mark.parametrize("transport", ["ipc", "tcp"])
def test_garbage_on_every_inbox_of_a_live_run(
    transport: str, start: Any, endless: Any, campaign: Any, check_bits: Any, stop: Any
) -> None:
    launch = start(f"garbage-{transport}", *endless, "--set", f"processes.transport={transport}")
    launch.wait_for_round(2)
    before = launch.running()
    addresses = inboxes(launch)
    assert len(addresses) == 6, addresses
    memory = {name: psutil.Process(pid).memory_info().rss for name, pid in before.items()}
    stop_at = time.monotonic() + campaign.lasts(30.0)
    reached: Counter[Any] = Counter()

    def besiege(number: int, family: int, address: Any) -> None:
        draw, kept = random.Random(f"{campaign.seed} {number}"), list[socket.socket]()
        while time.monotonic() < stop_at:
            reached[address] += visit(family, address, draw, kept)
        for client in kept:
            client.close()

    threads = [threading.Thread(target=besiege, args=(n, *address)) for n, address in enumerate(addresses)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert launch.running() == before, "no process ended"
    grown = {name: psutil.Process(pid).memory_info().rss - memory[name] for name, pid in before.items()}
    campaign.say(
        f"{transport}: {sum(reached.values())} visits, at least {min(reached.values())} to each inbox; "
        f"memory grew by {max(grown.values()) / 2**20:.1f} MiB at most; refused: "
        f"{ {p['name']: p['refused'] for p in launch.state()['processes']} }"
    )
    assert min(reached.values()) > 10
    assert max(grown.values()) < GROWTH_BYTES, grown
    launch.wait_for_round(launch.state()["round"] + 2)
    assert not [event for event in launch.events() if event["event"] in ("death", "stall kill")]
    stop(launch)
    check_bits(launch)


def test_a_neighbour_that_forges_is_dropped_by_reason(
    start: Any, endless: Any, campaign: Any, check_bits: Any, stop: Any
) -> None:
    """Agent 1 keeps its own word, and sends beside it all that it should not, with its own good key."""
    launch = start("forger", *endless, plant=[{"do": "forge", "process": "agent/1"}])
    launch.wait_for_round(8)
    dropped: dict[str, set[str]] = {}
    launch.wait_until(lambda state: all(p["dropped"] for p in state["processes"] if p["name"] in hears))
    for process in launch.state()["processes"]:
        dropped[process["name"]] = set(process["dropped"])
    campaign.say(json.dumps({process["name"]: process["dropped"] for process in launch.state()["processes"]}))
    assert not [event for event in launch.events() if event["event"] == "death"], "nobody dies of it"
    stop(launch)
    framed = {"bad frame: " + why for why in (
        "forged sender", "another run", "protocol version", "message type", "no such key", "not for this process",
        "checksum", "header length",
    )}  # fmt: skip
    for name in hears:
        assert framed <= dropped[name], (name, framed - dropped[name])
    for name in ("agent/0", "agent/2"):
        assert {"future", "stale", "bad frame: payload size"} <= dropped[name]
    assert not any("bad frame" in why for why in dropped["agent/3"]), "it has no link to the forger"
    check_bits(launch)


hears = ("agent/0", "agent/2", "sim", "coordinator")


def frames_until(box: Mailbox, wanted: bytes, again: Callable[[], None]) -> list[bytes]:
    """Everything that arrives until ``wanted`` does, which is said again and again."""
    got: list[bytes] = []
    deadline = time.monotonic() + 30.0
    while wanted not in got:
        assert time.monotonic() < deadline, got
        again()
        box.wait(0.05)
        while (found := box.receive()) is not None:
            got.append(bytes(found[1]))
    return got


def test_an_inbox_that_comes_ten_seconds_late_is_found(campaign: Any) -> None:
    one, two = new_keys(), new_keys()
    with tempfile.TemporaryDirectory() as directory:
        sender = Mailbox(one, {two.public: 2}, f"ipc://{directory}/1", 1000)
        sender.connect(2, f"ipc://{directory}/2")
        sender.send(2, b"early")
        time.sleep(campaign.lasts(10.0))
        late = Mailbox(two, {one.public: 1}, f"ipc://{directory}/2", 1000)
        assert frames_until(late, b"again", lambda: sender.send(2, b"again"))[0] == b"early"
        sender.close()
        late.close()


def test_who_was_refused_once_is_heard_after_a_fresh_connection() -> None:
    """A refusal is for ever on a socket; the shell makes a new one for a peer that stays silent."""
    one, two = new_keys(), new_keys()
    with tempfile.TemporaryDirectory() as directory:
        sender = Mailbox(one, {two.public: 2}, f"ipc://{directory}/1", 1000)
        receiver = Mailbox(two, {}, f"ipc://{directory}/2", 1000)
        sender.connect(2, receiver.endpoint)
        sender.send(2, b"refused")
        deadline = time.monotonic() + 30.0
        while not receiver.refused and time.monotonic() < deadline:
            time.sleep(0.01)
        assert receiver.refused == 1
        receiver._door._allowed[z85.decode(one.public)] = b"1"

        def say_anew() -> None:
            sender.connect(2, receiver.endpoint)
            sender.send(2, b"allowed")
            receiver.wait(0.2)

        assert b"refused" not in frames_until(receiver, b"allowed", say_anew)
        sender.close()
        receiver.close()


FLOOD = """
import sys
from scalmarl.protocol.sockets import KeyPair, Mailbox
import json
data = json.loads(sys.stdin.readline())
mine = KeyPair(data["public"].encode(), data["secret"].encode())
box = Mailbox(mine, {data["server"].encode(): 2}, data["bind"], 4000)
box.connect(2, data["endpoint"])
while True:
    box.send(2, bytes(2000))
"""


@pytest.mark.parametrize("transport", ["ipc", "tcp"])
def test_a_receiver_outlives_a_sender_that_dies_while_it_floods(transport: str, campaign: Any) -> None:
    """Nobody reads for five seconds, queues are full at both ends, and then the sender is killed; three times."""
    one, two = new_keys(), new_keys()
    with tempfile.TemporaryDirectory() as directory:
        bind = f"ipc://{directory}/2" if transport == "ipc" else "tcp://127.0.0.1:*"
        receiver = Mailbox(two, {one.public: 1}, bind, 4000)
        for time_to_flood in range(3):
            flood = subprocess.Popen([sys.executable, "-c", FLOOD], stdin=subprocess.PIPE, text=True)
            assert flood.stdin is not None
            words = {
                "public": one.public.decode(), "secret": one.secret.decode(), "server": two.public.decode(),
                "bind": f"ipc://{directory}/1.{time_to_flood}", "endpoint": receiver.endpoint,
            }  # fmt: skip
            flood.stdin.write(json.dumps(words) + "\n")
            flood.stdin.flush()
            assert receiver.wait(30.0) is False
            time.sleep(min(campaign.lasts(5.0), 5.0))
            os.kill(flood.pid, signal.SIGKILL)
            flood.wait()
            flood.stdin.close()
            time.sleep(0.5)
            got = 0
            while (found := receiver.receive()) is not None:
                assert len(found[1]) == 2000
                got += 1
            assert got > 0
        receiver.close()
        campaign.say(f"{transport}: survived three deaths of a flooding sender, libzmq {zmq.zmq_version()}")
