"""Demonstrations that need root, or a machine of their own: ``python -m benchmarks.NAME``."""
