"""Networks: from pretrained weights, of the catalogue or of the user's own, to the one graph that is the backbone.

Nothing here is needed on an executor; onnx, Keras and TensorFlow are imported where they are used. Read `catalogue.py`
first, then `loader.py` and `export.py`; `own_network.py` opens the chapter on strangers' files.
"""
