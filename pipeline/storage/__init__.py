"""Rows and files of tables: how workers write and read them. Nothing specific to images, models or assets."""
