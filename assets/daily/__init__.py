"""The group `daily`: a day's files, features, predictions, drift, review queue and report."""
