import json
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from pictures.images import Preprocessing, fit_to, open_image

how = Preprocessing.from_dict(json.loads(Path("transfer_studio.json").read_text("utf-8"))["preprocessing"])
pixels = np.asarray(fit_to(open_image(Path("photo.jpg")), how), np.float32)
answer = Interpreter("model.tflite").get_signature_runner()(image=pixels[None])["probabilities"][0]
for place in answer.argsort()[::-1]:
    print(Path("labels.txt").read_text("utf-8").splitlines()[place], float(answer[place]))
