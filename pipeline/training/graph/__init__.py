"""The ONNX file of a classifier: backbone, head and calibration in one graph, and its comparison with MLlib."""
