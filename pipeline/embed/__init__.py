"""The executor path: from untrusted bytes to one feature vector or one reason, in a child process that may die.

Imports no Spark and no framework, so that a worker starts fast and the child has little to be attacked through.
"""
