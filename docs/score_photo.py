"""Scores a photo with the end-to-end graph, without Daylight: python score_photo.py classifier.onnx photo.jpg."""

import sys

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

session, photo = onnxruntime.InferenceSession(sys.argv[1]), Image.open(sys.argv[2])
if session.get_modelmeta().custom_metadata_map.get("fit") == "crop":
    photo = ImageOps.fit(ImageOps.exif_transpose(photo), (min(photo.size), min(photo.size)))
size = session.get_inputs()[0].shape[1]
fit = [max(1, round(side * size / max(photo.size))) for side in photo.size]
photo.draft("RGB", fit)
photo = photo.convert("RGB").reduce(max(1, max(photo.size) // size))
photo = photo.transform(fit, Image.Transform.EXTENT, (0, 0, *photo.size), Image.Resampling.BILINEAR)
upright, square = ImageOps.exif_transpose(photo), Image.new("RGB", (size, size), (124, 116, 104))
square.paste(upright, ((size - upright.width) // 2, (size - upright.height) // 2))
probabilities, label = session.run(None, {"pixels": np.asarray(square)[None]})
print(label[0], round(float(probabilities.max()), 3))
