"""MAPPO-Lagrangian as the field runs it, all agents in one process: what ``scalmarl bench loop`` measures against."""
