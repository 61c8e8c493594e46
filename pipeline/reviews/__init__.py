"""People in the loop: the review queue, its forms, their answers, the audit sample and production accuracy."""
