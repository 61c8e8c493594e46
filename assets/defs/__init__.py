"""The further classifiers of the deployment: one folder each, with a `defs.yaml`. It contains no code."""
