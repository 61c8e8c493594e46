"""From labelled features to a versioned classifier, its ONNX file, and the choice of backbone and precision.

Judging the result is `evaluation`.
"""
