"""Which images are alike: nearest neighbours, near-duplicates, leakage groups and novelty.

Compares vectors and pixels, and knows nothing of classifiers.
"""
