"""Scores a photo with a fused graph, without Daylight: python score_photo.py classifier.onnx photo.jpg."""

import sys

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

session = onnxruntime.InferenceSession(sys.argv[1])
size = session.get_inputs()[0].shape[1]
photo = Image.open(sys.argv[2])
photo.draft("RGB", (size, size))
upright = ImageOps.exif_transpose(photo).convert("RGB")
pixels = ImageOps.pad(upright, (size, size), Image.Resampling.BILINEAR, (124, 116, 104))
probabilities, label = session.run(None, {"pixels": np.asarray(pixels)[None]})
print(f"{label[0]} {probabilities.max():.3f}")
