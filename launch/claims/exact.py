"""Claims that small games decide exactly."""

from __future__ import annotations

from collections.abc import Iterator

from scalmarl.launch.claims.claim import Claim


def exact_claims(quick: bool) -> Iterator[Claim]:
    """Every exact claim, as it is settled."""
    yield from ()
