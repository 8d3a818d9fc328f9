"""The claims laboratory: each claim with its setting, what was measured, the rule, and a verdict."""
