"""What is computed: DataFrames in, DataFrames out.

Everything an executor needs is here, and nothing that knows Dagster, the environment or where tables live.
"""
