"""Networks of the user: untrusted ONNX, Keras and TensorFlow files, checked, converted and cut at their features.

Nothing here runs code from a file. Named backbones belong in `catalogue/`.
"""
