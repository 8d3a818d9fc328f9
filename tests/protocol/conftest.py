"""A directory with mailboxes."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.protocol.mailboxes import (
    Office,
)


@pytest.fixture
def office() -> Iterator[Office]:
    # Not tmp_path: an ipc endpoint may have few characters only.
    with tempfile.TemporaryDirectory() as directory:
        made = Office(Path(directory))
        yield made
        made.close()
