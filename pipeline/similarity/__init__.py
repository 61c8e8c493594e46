"""Similarity of images: samples of embeddings, nearest neighbours, near-duplicates, leakage groups and novelty.

Compares vectors and pixels. Labels, classifiers and days belong to other packages.
"""
