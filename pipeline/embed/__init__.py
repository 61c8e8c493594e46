"""The executor path: from untrusted bytes to one feature vector or one reason, in a child process that may die.

Imports no Spark and no deep-learning framework: workers start fast, and the child has a small attack surface.
"""
