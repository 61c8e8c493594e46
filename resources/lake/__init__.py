"""The Delta tables and files of the lake: how they are read, committed, purged and cleaned.

What they hold is `pipeline`.
"""
