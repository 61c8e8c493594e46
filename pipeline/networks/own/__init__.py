"""Networks of the user: untrusted ONNX, Keras and TensorFlow files, checked, cut at a tensor and converted."""
