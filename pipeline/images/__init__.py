"""From a folder of files to one row per file, per label and per embedded image.

How bytes become a vector is `embed`; which images are alike is `similarity`.
"""
