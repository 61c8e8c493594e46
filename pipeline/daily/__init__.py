"""A day's predictions and their row conservation, the daily report, and the trace of one image.

How a prediction is computed belongs to `training`, drift to `drift`.
"""
