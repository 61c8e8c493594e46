"""A day's predictions, their row conservation, the report of the day, and the trace of one image."""
