"""The catalogue: backbones that Daylight names, each with its weights and the code that builds it.

A user's own files belong in `own/`; exporting is the same for all and belongs in `export.py`.
"""
