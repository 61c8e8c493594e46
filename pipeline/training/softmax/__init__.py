"""Softmax regressions of labels as NumPy fits and applies them; which classifier uses one is decided outside."""
