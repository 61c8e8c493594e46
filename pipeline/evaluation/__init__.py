"""How good predictions for labelled images are: scores, intervals, calibration, label issues, promotion rules.

Fits no classifier and reads no table.
"""
