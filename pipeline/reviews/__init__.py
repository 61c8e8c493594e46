"""Human review: the queue, its forms, the answers, the audit sample and the production accuracy.

Novelty belongs to `similarity`, labels that come from reviews to `images`.
"""
