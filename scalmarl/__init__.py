"""scalmarl: decentralised safe multi-agent reinforcement learning in which every agent is a real process."""

__version__ = "0.1.0"
