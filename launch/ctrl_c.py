"""Ctrl-C before a run begins, remembered: libraries swallow exceptions here and there while they are imported.

Rules of this file: it imports nothing that takes time.
"""

from __future__ import annotations

import signal

_came = False


def remember_ctrl_c() -> None:
    """From here on Ctrl-C raises ``KeyboardInterrupt`` as ever, and is known of even if that comes to nothing."""
    # Where SIGINT is ignored (a background job of a plain shell) it stays so.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupt)


def heed_ctrl_c() -> None:
    """Raises ``KeyboardInterrupt`` if Ctrl-C has come since ``remember_ctrl_c``."""
    if _came:
        raise KeyboardInterrupt


def _interrupt(*_: object) -> None:
    global _came
    _came = True
    raise KeyboardInterrupt
