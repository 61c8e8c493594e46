"""The Dagster instance, as far as it is no asset: pages, run history and the cost of a day's runs."""
