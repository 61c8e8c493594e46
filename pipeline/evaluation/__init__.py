"""Quality of predictions for labelled images: scores, intervals, calibration, label issues, rules of the gate.

Fits no classifier and writes no table.
"""
