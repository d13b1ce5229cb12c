"""A small process beside the web server that holds the open models and answers for the pages.

    web process                                    predictor process (`worker`)
    PredictionBatch ── PredictorProcess ── JSON lines ── TASKS ── models, ONNX Runtime, decoders

ONNX Runtime and one model take 100 MB that the web process does not have to carry, and a crash inside them, or inside a
decoder that met a strange photo, ends this process alone: it is started again, and the work goes on where it stopped.
"""
