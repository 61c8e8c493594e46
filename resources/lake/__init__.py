"""The lake: reads, commits, purges and cleans up its Delta tables and files. `pipeline` defines their content."""
