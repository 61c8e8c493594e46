"""Columns of tables: their DDL text, and the schemas of Spark and Arrow that follow from it. Rows are elsewhere."""
