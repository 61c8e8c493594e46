"""Commands behind `make`: demo, dev, explain and docs-configuration. What they compute belongs in `pipeline`."""
