"""The claims laboratory: every claim of the paper put to the test, each line with setting, measured value and bound."""
