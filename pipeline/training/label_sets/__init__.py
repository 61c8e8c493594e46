"""Sets of labels: a classifier of n yes/no questions over one training table, from its model to its page."""
