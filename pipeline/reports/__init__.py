"""Parts of a page: numbers, Markdown, thumbnails, contact sheets and figures.

What to report belongs to the package that measures it.
"""
