"""Use of the Dagster instance: metadata pages, run history, the cost of a day. No asset is declared here."""
