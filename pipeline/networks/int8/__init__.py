"""int8: from an fp32 graph to its int8 variant, with the optimizations that ONNX Runtime's quantizer lacks.

Choosing a precision belongs in `pipeline/training`. Each optimization is a module that ONNX Runtime may make obsolete.
"""
