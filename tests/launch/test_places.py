"""Where processes live on the network: templates, lists, what is refused, and that the charge says it."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from scalmarl.launch import places
from scalmarl.launch.config import ProcessesConfig
from scalmarl.launch.endpoint_book import EndpointBook
from scalmarl.launch.errors import MachineNotFit, UsageProblem
from scalmarl.launch.places import Place, check_places, inside_namespace, places_of
from scalmarl.protocol.charge import Charge
from scalmarl.protocol.keys import COORDINATOR, SIM
from scalmarl.protocol.network_namespace import enter_network_namespace
from scalmarl.protocol.standins import toy_plan

PLAN = toy_plan(((1,), (0,)), (0, 1))


def settings(**given: Any) -> dict[str, Any]:
    return ProcessesConfig(**{"transport": "tcp", **given}).model_dump()


def test_without_a_word_everybody_is_on_the_loopback_of_the_launcher() -> None:
    for transport in ("ipc", "tcp"):
        assert set(places_of(PLAN.agents, settings(transport=transport)).values()) == {Place("127.0.0.1", "")}


def test_a_template_counts_agents_then_sim_then_coordinator() -> None:
    found = places_of(PLAN.agents, settings(address="10.77.{number}.2", namespace="mine-{number}"))
    assert found == {
        0: Place("10.77.1.2", "mine-1"), 1: Place("10.77.2.2", "mine-2"), SIM: Place("10.77.3.2", "mine-3"),
        COORDINATOR: Place("10.77.4.2", "mine-4"),
    }  # fmt: skip


def test_a_list_has_an_entry_for_each_process() -> None:
    found = places_of(PLAN.agents, settings(address=["10.0.0.5", "10.0.0.6", "10.0.0.5", "127.0.0.1"]))
    assert [place.address for place in found.values()] == ["10.0.0.5", "10.0.0.6", "10.0.0.5", "127.0.0.1"]
    assert list(found) == [0, 1, SIM, COORDINATOR]


@pytest.mark.parametrize(
    ("given", "what", "cure"),
    [
        ({"transport": "ipc", "address": "127.0.0.1"}, "processes.address is set, but .* is ipc", "transport=tcp"),
        ({"transport": "ipc", "namespace": "a"}, "processes.namespace is set, but .* is ipc", "transport=tcp"),
        ({"address": ["127.0.0.1"] * 3}, "processes.address has 3 entries for 4 processes", "2 agents, sim, coord"),
        ({"address": "localhost"}, "address of agent/0 is 'localhost'", "ip address"),
        ({"address": "0.0.0.0"}, "no IPv4 address that its peers could reach", "ip address"),
        ({"address": ["127.0.0.1"] * 3 + ["::1"]}, "address of coordinator is '::1'", "ip address"),
        ({"address": "10.0.0.1", "namespace": "../a"}, "namespace of agent/0 is '../a'", "ip netns list"),
        ({"namespace": "mine-{number}"}, "127.0.0.1, the loopback of its own network namespace", "route to one"),
    ],
)
def test_what_cannot_work_is_refused(given: dict[str, Any], what: str, cure: str) -> None:
    with pytest.raises(UsageProblem, match=what) as caught:
        places_of(PLAN.agents, settings(**given))
    assert cure in caught.value.hint


def test_an_address_of_another_machine_is_found_before_the_start() -> None:
    with pytest.raises(MachineNotFit, match=r"sim cannot bind to 192\.0\.2\.1: ") as caught:
        check_places({0: Place("127.0.0.1", ""), 1: Place("127.0.0.9", ""), SIM: Place("192.0.2.1", "")})
    assert "ip address" in caught.value.hint


def test_a_namespace_that_is_not_there_is_named() -> None:
    with pytest.raises(MachineNotFit, match="no network namespace 'scalmarl-nowhere' for agent/1") as caught:
        check_places({1: Place("127.0.0.1", "scalmarl-nowhere")})
    assert "ip netns add scalmarl-nowhere" in caught.value.hint
    with pytest.raises(FileNotFoundError, match="scalmarl-nowhere"):
        enter_network_namespace("scalmarl-nowhere")


def test_without_the_right_to_enter_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted", name)

    monkeypatch.setattr(places, "enter_network_namespace", refuse)
    with pytest.raises(MachineNotFit, match="coordinator may not enter the network namespace 'mine'") as caught:
        check_places({COORDINATOR: Place("10.0.0.1", "mine")})
    assert "as root" in caught.value.hint


def test_what_is_no_namespace_is_not_entered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scalmarl.protocol.network_namespace.NAMESPACES", tmp_path)
    (tmp_path / "file").touch()
    before = os.readlink("/proc/thread-self/ns/net")
    with pytest.raises(OSError, match="file"):
        inside_namespace("file", lambda: None)
    assert os.readlink("/proc/thread-self/ns/net") == before


def test_every_life_of_a_process_is_charged_with_the_same_place(tmp_path: Path) -> None:
    found = places_of(PLAN.agents, settings(address="10.77.{number}.2", namespace="mine-{number}"))
    book = EndpointBook(PLAN, "tcp", found, tmp_path)
    for incarnation in (0, 7):
        charge = book.charge(1, incarnation, rejoin=incarnation > 0, run_directory=tmp_path)
        assert (charge.bind, charge.namespace) == ("tcp://10.77.2.2:*", "mine-2")
        assert Charge.from_data(charge.to_data()) == charge
    assert EndpointBook(PLAN, "ipc", places_of(PLAN.agents, settings(transport="ipc")), tmp_path).charge(
        SIM, 2, rejoin=False, run_directory=tmp_path
    ).bind == f"ipc://{tmp_path}/{SIM}.2"  # fmt: skip
