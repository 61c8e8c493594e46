"""How workers write and read the rows and files of tables. Knows no image, no model and no asset."""
