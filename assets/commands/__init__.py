"""Commands behind `make`: demo, dev and explain."""
