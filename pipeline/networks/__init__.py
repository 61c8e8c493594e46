"""Networks: from pretrained weights, of the catalogue or the user's own, to the ONNX graph that is the backbone.

Runs on the driver only. onnx, Keras and TensorFlow are imported inside functions: importing a module here stays cheap.
Start with `loader.py` and `export.py`; `own/` handles untrusted files. Running a graph belongs in `pipeline/embed`.
"""
