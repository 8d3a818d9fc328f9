"""Where each process lives on the network: its bind address and its network namespace, and whether it can live there.

Templates and lists of ``[processes]`` become one place per process. Everything that would only show as a process that
cannot bind, or as one that waits for ever, is found before anything starts.
"""

from __future__ import annotations

import errno
import ipaddress
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import psutil

from scalmarl.launch.errors import MachineNotFit, UsageProblem
from scalmarl.protocol.keys import COORDINATOR, SIM, process_name
from scalmarl.protocol.network_namespace import NAMESPACES, enter_network_namespace

LOOPBACK = "127.0.0.1"
NUMBER = "{number}"
"""In a template: 1 for agent 0 and so on, then the sim server, then the coordinator."""

T = TypeVar("T")


@dataclass(frozen=True)
class Place:
    """The address that a process's inbox binds to, and the namespace that it enters; '' for the launcher's own."""

    address: str
    namespace: str


def places_of(agents: int, settings: dict[str, Any]) -> dict[int, Place]:
    """The place of every process, absent agents too, under the settings of ``[processes]``. Raises ``UsageProblem``."""
    for key in ("address", "namespace"):
        if settings[key] is not None and settings["transport"] != "tcp":
            raise UsageProblem(
                f"processes.{key} is set, but processes.transport is {settings['transport']}, which uses no network",
                "add --set processes.transport=tcp",
            )
    addresses = _per_process(agents, "address", LOOPBACK if settings["address"] is None else settings["address"])
    namespaces = _per_process(agents, "namespace", settings["namespace"] or "")
    for process, address in addresses.items():
        _check_address(process, address, apart=len(set(namespaces.values())) > 1)
        _check_name(process, namespaces[process])
    return {process: Place(address, namespaces[process]) for process, address in addresses.items()}


def _per_process(agents: int, key: str, given: str | list[str]) -> dict[int, str]:
    """One text per process, from one template for all or from a list with an entry for each."""
    processes = (*range(agents), SIM, COORDINATOR)
    entries = [given] * len(processes) if isinstance(given, str) else given
    if len(entries) != len(processes):
        raise UsageProblem(
            f"processes.{key} has {len(entries)} entries for {len(processes)} processes",
            f"give one per process ({agents} agents, sim, coordinator), or one text with {NUMBER} in it",
        )
    return {p: text.replace(NUMBER, str(number)) for number, (p, text) in enumerate(zip(processes, entries), 1)}


def _check_address(process: int, text: str, apart: bool) -> None:
    try:
        address = ipaddress.IPv4Address(text)
    except ValueError:
        address = None
    where = f"processes.address of {process_name(process)}"
    if address is None or address.is_unspecified:
        raise UsageProblem(
            f"{where} is {text!r}, which is no IPv4 address that its peers could reach",
            f"for example 127.0.0.{NUMBER}, or an address that 'ip address' shows",
        )
    if apart and address.is_loopback:
        raise UsageProblem(
            f"{where} is {text}, the loopback of its own network namespace, where no peer reaches it",
            "set processes.address to addresses that the namespaces route to one another",
        )


def _check_name(process: int, name: str) -> None:
    if "/" in name or name in (".", ".."):
        raise UsageProblem(
            f"processes.namespace of {process_name(process)} is {name!r}, which is no name of a network namespace",
            "use a name that 'ip netns list' shows",
        )


def check_places(places: dict[int, Place]) -> None:
    """Try every place: enter the namespace and look for the address. Raises ``MachineNotFit``."""
    for process, place in places.items():
        if place == Place(LOOPBACK, ""):
            continue
        name = process_name(process)
        try:
            inside_namespace(place.namespace, partial(_find, place.address))
        except FileNotFoundError:
            raise MachineNotFit(
                f"there is no network namespace {place.namespace!r} for {name} (no {NAMESPACES / place.namespace})",
                f"make it, as root: ip netns add {place.namespace}",
            ) from None
        except PermissionError:
            raise MachineNotFit(
                f"{name} may not enter the network namespace {place.namespace!r}",
                "launch as root (it needs CAP_SYS_ADMIN), or without processes.namespace",
            ) from None
        except OSError as error:
            inside = f" in the network namespace {place.namespace!r}" if place.namespace else ""
            raise MachineNotFit(
                f"{name} cannot bind to {place.address}{inside}: {error.strerror}",
                "set processes.address to addresses that 'ip address' shows there (a new namespace has none)",
            ) from None


def _find(address: str) -> None:
    """Raise ``OSError`` unless an interface has the address. (To bind is no proof: a bare namespace lets one bind to
    anything, and the run would wait for ever.)"""
    wanted = LOOPBACK if ipaddress.IPv4Address(address).is_loopback else address
    if not any(wanted == entry.address for entries in psutil.net_if_addrs().values() for entry in entries):
        raise OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))


def inside_namespace(name: str, call: Callable[[], T]) -> T:
    """Call from a thread of its own that has entered the namespace; a socket that is made there stays there."""

    def entered() -> T:
        if name:
            enter_network_namespace(name)
        return call()

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(entered).result()
