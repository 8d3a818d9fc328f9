"""What the launcher hands to one life of a process, over the socket pair that the process inherited."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scalmarl.protocol.link_faults import LinkFault
from scalmarl.protocol.sockets import KeyPair


@dataclass(frozen=True)
class Charge:
    """What the launcher hands to one life of a process; keys come only this way. ``links``: what happens to the frames
    for a peer with a bad link; ``began``: when the launch began, on the machine's one monotonic clock."""

    process: int
    incarnation: int
    rejoin: bool
    run_directory: Path
    bind: str
    keys: KeyPair
    allowed: dict[bytes, int]
    namespace: str = ""
    """The network namespace to enter; '' to stay."""
    links: dict[int, LinkFault] = field(default_factory=dict)
    began: float = 0.0

    def to_data(self) -> dict[str, Any]:
        """For the control channel."""
        return {
            "type": "charge", "process": self.process, "incarnation": self.incarnation, "rejoin": self.rejoin,
            "run_directory": str(self.run_directory), "bind": self.bind, "public": self.keys.public,
            "secret": self.keys.secret, "allowed": self.allowed, "namespace": self.namespace,
            "links": {peer: fault.to_data() for peer, fault in self.links.items()}, "began": self.began,
        }  # fmt: skip

    @classmethod
    def from_data(cls, data: dict[str, Any]) -> Charge:
        """The inverse of ``to_data``."""
        return cls(
            data["process"], data["incarnation"], data["rejoin"], Path(data["run_directory"]), data["bind"],
            KeyPair(data["public"], data["secret"]), data["allowed"], data["namespace"],
            links={peer: LinkFault.from_data(fault) for peer, fault in data["links"].items()}, began=data["began"],
        )  # fmt: skip
