"""The lake: how its Delta tables and files are read, committed, purged and cleaned up.

The content of tables is defined in `pipeline`.
"""
