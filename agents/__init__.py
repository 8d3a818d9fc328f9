"""The agents: one process each, with its own policy, critics and multipliers.

Reading order: ``body`` (the algorithm's conversation), ``learner`` (its mathematics, step by step), then the pure
pieces ``rollout``, ``advantages``, ``networks``, ``normaliser``, ``policy_update`` and ``multiplier``.
"""
