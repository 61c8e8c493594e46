"""Whether a day is like the training set: its embeddings and its mix of predicted labels. Changes no prediction."""
