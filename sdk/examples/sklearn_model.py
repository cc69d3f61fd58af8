#!/usr/bin/env python3
"""A scikit-learn classifier as a dalhost model; the protocol is in the SDK's README, which lies with dalhost's documentation.

    model: {use: command, run: [python3, sklearn_model.py]}
"""
import os
import pickle
import sys

import numpy as np
from sklearn.linear_model import LogisticRegression

folder = os.environ["DAL_MODEL_DIR"]
answers = sys.stdout
sys.stdout = sys.stderr  # whatever libraries print, answers stay clean
model, n_classes = None, 0


def file(name):
    return os.path.join(folder, name)


def samples():
    x = np.load(file("x.npy"))
    x = x.reshape(len(x), -1).astype(np.float32)
    return x / 255 if np.load(file("x.npy"), mmap_mode="r").dtype == np.uint8 else x


def answer(verb, args):
    global model, n_classes
    if verb == "spec":
        n_classes = int(args["classes"])
    elif verb == "fit":
        x, y = samples(), np.load(file("y.npy"))
        w = np.load(file("w.npy")) if args["weights"] == "1" else None
        model = LogisticRegression(max_iter=200, random_state=int(args["seed"])).fit(x, y, w)
        return f"ok accuracy={model.score(x, y):.6f}"
    elif verb == "predict":
        p = np.zeros((int(args["n"]), n_classes), np.float32)
        p[:, model.classes_] = model.predict_proba(samples())  # classes nobody has seen stay at 0
        np.save(file("p.npy"), p)
    elif verb == "save":
        pickle.dump(model, open(file("model.bin"), "wb"))
    elif verb == "load":
        model = pickle.load(open(file("model.bin"), "rb"))
    return "ok"


print("dal-model 1", file=answers, flush=True)
for line in sys.stdin:
    verb, *rest = line.split()
    try:
        print(answer(verb, dict(r.split("=", 1) for r in rest)), file=answers, flush=True)
    except Exception as e:
        print("error", type(e).__name__, str(e).replace("\n", " "), file=answers, flush=True)
