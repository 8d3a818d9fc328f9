"""Real sockets in one process: who is let in, and what is delivered."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

import pytest
import zmq
from zmq.utils.monitor import recv_monitor_message

from scalmarl.protocol.sockets import Mailbox, longest_ipc_path
from tests.protocol.mailboxes import (
    ALICE,
    BOB,
    EVE,
    HANDSHAKE_OVER,
    KEYS,
    LARGEST,
    PATIENCE_S,
    Office,
    next_frame,
    only_alices_word_arrives,
    wait_until,
)

# ---- delivery ----


@pytest.mark.parametrize("bind", ["ipc", "tcp"])
def test_frames_arrive_in_order_under_the_senders_proven_name(office: Office, bind: str) -> None:
    bob = office.mailbox(BOB, (ALICE, EVE), bind)
    for name in (ALICE, EVE):
        box = office.mailbox(name, (BOB,))
        assert box.endpoint_of(BOB) is None
        box.connect(BOB, bob.endpoint)
        assert box.endpoint_of(BOB) == bob.endpoint
        for number in range(50):
            box.send(BOB, b"%d from %d" % (number, name))
        got = [next_frame(bob) for _ in range(50)]
        assert got == [(name, b"%d from %d" % (number, name)) for number in range(50)]
    assert bob.refused == 0
    assert not bob.dropped


def test_a_tcp_inbox_tells_the_port_that_it_got(office: Office) -> None:
    endpoint = office.mailbox(BOB, (ALICE,), "tcp").endpoint
    assert endpoint.startswith("tcp://127.0.0.1:")
    assert 0 < int(endpoint.rpartition(":")[2]) < 65536


def test_a_frame_sent_before_the_inbox_exists_arrives_when_it_does(office: Office) -> None:
    alice = office.mailbox(ALICE, (BOB,))
    alice.connect(BOB, office.ipc(BOB))
    alice.send(BOB, b"early")
    bob = office.mailbox(BOB, (ALICE,))
    assert next_frame(bob) == (ALICE, b"early")


@pytest.mark.parametrize("bind", ["ipc", "tcp"])
def test_an_inbox_that_was_replaced_is_found_again(office: Office, bind: str) -> None:
    alice, bob = office.mailbox(ALICE, (BOB,)), office.mailbox(BOB, (ALICE,), bind)
    alice.connect(BOB, bob.endpoint)
    alice.send(BOB, b"one")
    assert next_frame(bob) == (ALICE, b"one")
    bob.close()
    again = office.mailbox(BOB, (ALICE,), bind)
    if again.endpoint != bob.endpoint:
        alice.connect(BOB, again.endpoint)
    got: list[bytes] = []

    def repeated() -> bool:
        # A frame may be lost with the old connection, so it is said until it is heard.
        alice.send(BOB, b"two")
        found = again.receive()
        got.extend([bytes(found[1])] if found else [])
        return bool(got)

    wait_until(repeated, again)
    assert set(got) == {b"two"}


def test_a_fresh_connection_to_the_same_endpoint_works(office: Office) -> None:
    alice, bob = office.mailbox(ALICE, (BOB,)), office.mailbox(BOB, (ALICE,))
    for number in range(3):
        alice.connect(BOB, bob.endpoint)
        alice.send(BOB, b"%d" % number)
        assert next_frame(bob) == (ALICE, b"%d" % number)


def test_a_full_queue_drops_frames_and_counts_them(office: Office) -> None:
    alice = office.mailbox(ALICE, (BOB,))
    alice.connect(BOB, office.ipc(BOB))
    for _ in range(5000):
        alice.send(BOB, b"x")
    assert alice.dropped["queue full"] == 5000 - 4096


def test_waiting_ends_when_a_watched_descriptor_can_be_read(office: Office) -> None:
    bob = office.mailbox(BOB, (ALICE,))
    here, there = socket.socketpair()
    with here, there:
        bob.watch(here.fileno())
        there.send(b"x")
        began = time.monotonic()
        bob.wait(PATIENCE_S)
        assert time.monotonic() - began < PATIENCE_S
        assert select.select([here], [], [], 0)[0]


# ---- who is refused ----


@pytest.mark.parametrize("bind", ["ipc", "tcp"])
def test_a_strangers_key_is_refused_and_counted(office: Office, bind: str) -> None:
    bob = office.mailbox(BOB, (ALICE,), bind)
    push = office.client(KEYS[EVE], KEYS[BOB].public)
    assert office.handshake(push, bob.endpoint, b"stranger") == zmq.EVENT_HANDSHAKE_FAILED_AUTH
    wait_until(lambda: bob.refused == 1)
    only_alices_word_arrives(office, bob)
    assert bob.refused == 1


@pytest.mark.parametrize("bind", ["ipc", "tcp"])
def test_without_a_key_nothing_is_delivered(office: Office, bind: str) -> None:
    bob = office.mailbox(BOB, (ALICE,), bind)
    push = office.client(None, b"")
    assert office.handshake(push, bob.endpoint, b"no key") != zmq.EVENT_HANDSHAKE_SUCCEEDED
    only_alices_word_arrives(office, bob)


@pytest.mark.parametrize("bind", ["ipc", "tcp"])
def test_with_a_wrong_server_key_nothing_is_delivered(office: Office, bind: str) -> None:
    bob = office.mailbox(BOB, (ALICE, EVE), bind)
    push = office.client(KEYS[EVE], KEYS[ALICE].public)
    assert office.handshake(push, bob.endpoint, b"wrong key") != zmq.EVENT_HANDSHAKE_SUCCEEDED
    only_alices_word_arrives(office, bob)


def test_without_its_door_keeper_an_inbox_lets_nobody_in(office: Office) -> None:
    bob = office.mailbox(BOB, (ALICE,))
    bob._door.stop()
    push = office.client(KEYS[ALICE], KEYS[BOB].public)
    monitor = push.get_monitor_socket(HANDSHAKE_OVER)
    push.connect(bob.endpoint)
    push.send(b"nobody asked")
    assert not bob._poller.poll(300)
    events = []
    while monitor.poll(0):
        events.append(recv_monitor_message(monitor)["event"])
    assert zmq.EVENT_HANDSHAKE_SUCCEEDED not in events
    assert bob.receive() is None


def test_the_senders_name_is_that_of_its_key_whatever_it_writes(office: Office) -> None:
    bob = office.mailbox(BOB, (ALICE, EVE))
    eve = office.mailbox(EVE, (BOB,))
    eve.connect(BOB, bob.endpoint)
    eve.send(BOB, b"I am alice")
    assert next_frame(bob) == (EVE, b"I am alice")


# ---- what is dropped ----


def test_a_message_of_several_parts_is_dropped_and_counted(office: Office) -> None:
    bob = office.mailbox(BOB, (ALICE, EVE))
    push = office.client(KEYS[EVE], KEYS[BOB].public)
    assert office.handshake(push, bob.endpoint, b"whole") == zmq.EVENT_HANDSHAKE_SUCCEEDED
    assert next_frame(bob) == (EVE, b"whole")
    push.send_multipart([b"one", b"two"])
    push.send_multipart([b"one", b"two", b"three"])
    push.send(b"whole again")
    assert next_frame(bob) == (EVE, b"whole again")
    assert bob.dropped == {"more than one part": 2}


def test_a_flood_of_several_parts_is_dropped_at_one_depth(office: Office) -> None:
    bob = office.mailbox(BOB, (EVE,))
    push = office.client(KEYS[EVE], KEYS[BOB].public)
    push.connect(bob.endpoint)
    for _ in range(3000):
        push.send_multipart([b"one", b"two"])
    push.send(b"whole")
    assert next_frame(bob) == (EVE, b"whole")
    assert bob.dropped == {"more than one part": 3000}


def test_a_mailbox_for_tiny_frames_lets_the_handshake_in(office: Office) -> None:
    """The limit holds for CURVE's own commands too, of up to some 300 bytes."""
    bob = office.mailbox(BOB, (ALICE,), largest=10)
    alice = office.mailbox(ALICE, (BOB,), largest=10)
    alice.connect(BOB, bob.endpoint)
    alice.send(BOB, b"tiny")
    assert next_frame(bob) == (ALICE, b"tiny")


def test_an_oversized_frame_is_not_delivered_and_the_link_comes_back(office: Office) -> None:
    bob = office.mailbox(BOB, (ALICE,))
    alice = office.mailbox(ALICE, (BOB,))
    alice.connect(BOB, bob.endpoint)
    alice.send(BOB, b"small")
    assert next_frame(bob) == (ALICE, b"small")
    alice.send(BOB, bytes(LARGEST))
    assert next_frame(bob) == (ALICE, bytes(LARGEST)), "libzmq compares its limit with the encrypted size"
    alice.send(BOB, bytes(LARGEST + 1))
    got: list[bytes] = []

    def heard_again() -> bool:
        alice.send(BOB, b"again")
        found = bob.receive()
        got.extend([bytes(found[1])] if found else [])
        return bool(got)

    wait_until(heard_again, bob)
    assert set(got) == {b"again"}


# ---- options ----


def test_no_heartbeat_is_set_on_any_socket(office: Office) -> None:
    bob = office.mailbox(BOB, (ALICE,))
    bob.connect(ALICE, office.ipc(ALICE))
    fresh = office.client(None, b"")
    options = (zmq.HEARTBEAT_IVL, zmq.HEARTBEAT_TIMEOUT, zmq.HEARTBEAT_TTL)
    for mine in (bob._inbox, bob._senders[ALICE], bob._door._socket):
        assert mine.getsockopt(zmq.HEARTBEAT_IVL) == 0
        assert [mine.getsockopt(option) for option in options] == [fresh.getsockopt(option) for option in options]


def test_sockets_keep_no_process_alive_and_have_no_identity(office: Office) -> None:
    bob = office.mailbox(BOB, (ALICE,))
    bob.connect(ALICE, office.ipc(ALICE))
    for mine in (bob._inbox, bob._senders[ALICE]):
        assert mine.getsockopt(zmq.LINGER) == 0
        assert mine.getsockopt(zmq.ROUTING_ID) == b""
        assert mine.getsockopt(zmq.MECHANISM) == zmq.CURVE
    assert (bob._inbox.type, bob._senders[ALICE].type) == (zmq.PULL, zmq.PUSH)


def test_a_cut_tcp_link_is_made_anew_before_the_kernel_backs_off(office: Office) -> None:
    bob = office.mailbox(BOB, (ALICE,))
    bob.connect(ALICE, "tcp://127.0.0.1:1")
    sender = bob._senders[ALICE]
    assert 0 < sender.getsockopt(zmq.TCP_MAXRT) <= 2000
    assert 0 < sender.getsockopt(zmq.CONNECT_TIMEOUT) <= 1000


def test_closing_leaves_no_thread_and_no_descriptor(office: Office) -> None:
    def life() -> None:
        with tempfile.TemporaryDirectory() as directory:
            box = Mailbox(KEYS[BOB], {KEYS[ALICE].public: ALICE}, f"ipc://{directory}/b", LARGEST)
            box.connect(ALICE, f"ipc://{directory}/a")
            box.send(ALICE, b"never heard")
            box.close()

    life()
    threads, descriptors = threading.active_count(), len(os.listdir("/proc/self/fd"))
    life()
    assert (threading.active_count(), len(os.listdir("/proc/self/fd"))) == (threads, descriptors)


def test_keys_are_fresh_and_printable_and_ipc_paths_are_short() -> None:
    assert KEYS[ALICE] != KEYS[BOB]
    assert all(len(part) == 40 and part.isascii() for pair in KEYS.values() for part in (pair.public, pair.secret))
    assert 90 <= longest_ipc_path() <= 108


# ---- why there are no heartbeats ----

HEARTBEAT_CANARY = """
import os, resource, signal, sys, time
import zmq

endpoint = "ipc://" + sys.argv[1]
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
child = os.fork()
if child == 0:
    push = zmq.Context().socket(zmq.DEALER)
    push.connect(endpoint)
    while True:
        push.send(bytes(2000))
reader = zmq.Context().socket(zmq.DEALER)
reader.rcvhwm = 10
reader.heartbeat_ivl = 200
reader.heartbeat_timeout = 5000
reader.bind(endpoint)
time.sleep(0.3)
os.kill(child, signal.SIGKILL)
os.waitpid(child, 0)
time.sleep(1.0)
os._exit(0)
"""


def test_heartbeats_would_abort_a_receiver_whose_sender_dies_under_back_pressure(office: Office) -> None:
    canary = subprocess.run(
        [sys.executable, "-c", HEARTBEAT_CANARY, str(office.directory / "canary")],
        capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    if canary.returncode != -signal.SIGABRT:
        pytest.skip(
            f"libzmq {zmq.zmq_version()} did not abort (exit {canary.returncode}); heartbeats stay off all the same"
        )
    assert b"Assertion failed" in canary.stderr
