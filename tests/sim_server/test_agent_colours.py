"""The colours of films: an agent that costs looks like none that does not."""

from __future__ import annotations

import itertools
import math

import pytest

from scalmarl.sim_server.agent_colours import ABSENT, COST, own_colour


@pytest.mark.parametrize("agents", [1, 2, 8, 256])
def test_no_agent_has_the_colour_of_cost_or_of_the_agent_beside_it(agents: int) -> None:
    colours = [own_colour(agent, agents) for agent in range(agents)]
    assert all(0.0 <= part <= 1.0 for colour in colours for part in colour)
    assert min(math.dist(colour, COST) for colour in colours) > 0.4
    assert min(math.dist(colour, ABSENT) for colour in colours) > 0.25, "an absent agent is grey"
    assert all(math.dist(one, other) > 0.1 for one, other in itertools.pairwise(colours))
