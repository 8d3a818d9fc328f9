"""Measurements of real launches: ``scalmarl bench``."""
