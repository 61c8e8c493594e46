"""The group `training`: from labelled images to the promoted classifier, and the checks between them."""
