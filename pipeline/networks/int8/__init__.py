"""From an fp32 graph to its int8 variant: quantization, and the passes that ONNX Runtime's quantizer lacks."""
