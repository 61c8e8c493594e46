"""Stored backbones and classifiers, the current one of each asset, and the records about them."""
