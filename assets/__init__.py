"""What exists, from what, when, and what must hold. `definitions.py` is the code location that Dagster loads."""
