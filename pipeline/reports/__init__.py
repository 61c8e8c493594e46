"""Plain values that a page shows: numbers, Markdown, thumbnails, contact sheets and figures.

What is reported belongs to the package that measures it.
"""
