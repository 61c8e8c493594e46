"""From a folder of files to one row per file, per label and per embedded image. Bytes become vectors in `embed`."""
