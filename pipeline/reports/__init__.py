"""Parts of a page: numbers, Markdown, thumbnails, contact sheets, figures. What to report belongs to other packages."""
