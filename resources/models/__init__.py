"""Stored backbones and classifiers, and which of them each asset stands for."""
