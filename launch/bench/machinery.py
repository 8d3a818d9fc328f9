"""What recovery and encryption cost: processes of a measured launch with one part of the machinery switched off.

For ``scalmarl bench`` alone, and only in its own launches: the parts are taken out of the loaded modules when an
interpreter starts (``environment``), so that the product itself has no such switch. A run without them survives nothing
and trusts everybody.
"""

from __future__ import annotations

import os
import types
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from scalmarl.protocol import codec, round_files, shell, sockets

VARIABLE = "SCALMARL_BENCH_WITHOUT"
# Modules as what they are here: things to be changed.
_FILES: Any = round_files
_CODEC: Any = codec
_SHELL: Any = shell
_SOCKETS: Any = sockets
_ZMQ: Any = _SOCKETS.zmq
_SOURCE = 8
"""The place of the sender among a frame's fields, their types counted."""
NO_DIGEST = bytes(round_files.DIGEST_BYTES)


def environment(parts: Sequence[str], directory: Path) -> dict[str, str]:
    """The environment in which every Python process of a launch starts without these parts (see ``PARTS``);
    ``directory`` is where the hook is written."""
    hook = f"from {__name__} import switch_off\nswitch_off()\n"
    (directory / "sitecustomize.py").write_text(hook, encoding="utf-8")
    # An empty entry would mean the working directory.
    path = os.pathsep.join(filter(None, (str(directory), os.environ.get("PYTHONPATH"))))
    return {**os.environ, VARIABLE: ",".join(parts), "PYTHONPATH": path}


def switch_off() -> None:
    """Take out what the environment names."""
    for part in os.environ.get(VARIABLE, "").split(","):
        if part:
            PARTS[part]()


class _Unsaved(round_files.RoundFiles):
    """Writes the figures that the launcher needs, and no round file."""

    def write(self, round: int, content: bytes, figures: dict[str, Any]) -> bytes:
        if round > 0:
            round_files.row_path(self.directory, round - 1).write_bytes(self._row(round - 1, figures))
        digest: bytes = _FILES.hashlib.sha256(content).digest()
        return digest

    def delete(self, round: int) -> None:
        return


def _without_round_files() -> None:
    _FILES.RoundFiles.write = _Unsaved.write
    _FILES.RoundFiles.delete = _Unsaved.delete


def _without_digests() -> None:
    """Neither the SHA-256 of files nor the CRC-32 of frames."""

    class NoHash:
        def update(self, data: bytes) -> None:
            return

        def digest(self) -> bytes:
            return NO_DIGEST

    _FILES.hashlib = types.SimpleNamespace(sha256=lambda data=b"": NoHash())
    _CODEC.zlib = types.SimpleNamespace(crc32=lambda data, start=0: 0)


class _Open(sockets.Mailbox):
    """Links without encryption; who sent a frame is believed from its header."""

    def receive(self) -> tuple[int, memoryview] | None:
        try:
            frame = self._inbox.recv(_ZMQ.NOBLOCK, copy=False).buffer
        except _ZMQ.Again:
            return None
        return _CODEC._FIELDS.unpack_from(frame, 1)[_SOURCE], frame


def _without_curve() -> None:
    secret = {getattr(_ZMQ, name) for name in _OPTIONS}
    whole = _ZMQ.Socket.setsockopt

    def setsockopt(self: Any, option: int, value: Any) -> None:
        if option not in secret:
            whole(self, option, value)

    _ZMQ.Socket.setsockopt = setsockopt
    _SHELL.Mailbox = _Open


_OPTIONS = ("CURVE_SERVER", "CURVE_PUBLICKEY", "CURVE_SECRETKEY", "CURVE_SERVERKEY", "ZAP_DOMAIN", "ZAP_ENFORCE_DOMAIN")
PARTS: dict[str, Callable[[], None]] = {
    "round files": _without_round_files,
    "digests": _without_digests,
    "encryption": _without_curve,
}
