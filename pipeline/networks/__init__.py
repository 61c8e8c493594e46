"""Networks: from pretrained weights, of the catalogue or the user's own, to the ONNX graph that is the backbone.

Runs on the driver only. Keras and TensorFlow are imported inside functions, because that takes ten seconds.
Start with `loader.py` and `export.py`; `own/` handles untrusted files. Running a graph belongs in `pipeline/embed`.
"""
