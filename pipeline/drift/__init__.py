"""Drift: comparison of a day's embeddings and predicted labels with the training set. It changes no prediction."""
