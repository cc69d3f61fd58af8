"""Saved models as any other program reads them: saved_twin.py KIND MODEL.safetensors INPUTS.npy LOGITS.npy

Nothing but the format of the file and the layers of the model is known here.
"""
import json
import sys

import numpy as np


def read(path):
    raw = open(path, "rb").read()
    length = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8:8 + length])
    meta = header.pop("__metadata__")
    types = {"F32": "<f4", "U8": "u1"}
    data = raw[8 + length:]
    return meta, {k: np.frombuffer(data[slice(*t["data_offsets"])], types[t["dtype"]]).reshape(t["shape"]) for k, t in header.items()}


def conv(t, name, x, pad=0):
    w = t[name + ".weight"].astype(float)
    k = w.shape[-1]
    x = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    h, v = x.shape[2] - k + 1, x.shape[3] - k + 1
    y = sum(np.einsum("ncyx,oc->noyx", x[:, :, a:a + h, b:b + v], w[:, :, a, b]) for a in range(k) for b in range(k))
    return y + t[name + ".bias"][:, None, None] if name + ".bias" in t else y


def norm(t, name, x):
    at = (slice(None), None, None)
    scale = t[name + ".weight"] / np.sqrt(t[name + ".running_var"].astype(float) + 1e-5)
    return (x - t[name + ".running_mean"][at]) * scale[at] + t[name + ".bias"][at]


def linear(t, name, x):
    return x.reshape(len(x), -1) @ t[name + ".weight"].T.astype(float) + t[name + ".bias"]


def relu(x):
    return np.maximum(x, 0)


def pool(x):
    n, c, h, w = x.shape
    return x[:, :, :h // 2 * 2, :w // 2 * 2].reshape(n, c, h // 2, 2, w // 2, 2).max((3, 5))


def mlp(t, x):
    for name in [k[:-7] for k in t if k.startswith("hidden") and k.endswith(".weight")]:
        x = relu(linear(t, name, x))
    return linear(t, "output", x)


def lenet(t, x):
    for name in "conv1", "conv2":
        x = pool(relu(conv(t, name, x)))
    return linear(t, "output", relu(linear(t, "hidden", x)))


def cnn_small(t, x):
    for stage in 1, 2, 3:
        x = pool(x) if stage > 1 else x
        for i in 1, 2:
            x = relu(norm(t, f"stage{stage}.norm{i}", conv(t, f"stage{stage}.conv{i}", x, 1)))
    return linear(t, "output", x.mean((2, 3)))


kind, model, inputs, logits = sys.argv[1:]
meta, tensors = read(model)
x, want = np.load(inputs), np.load(logits)
x = x / 255 if x.dtype == np.uint8 else x.astype(float)
have = {"mlp": mlp, "lenet": lenet, "cnn-small": cnn_small}[kind](tensors, x)
assert meta["model"] == kind and meta["format"] == "pt", meta
assert want.std() > 0.1, "nothing to compare"
far = np.abs(have - want).max()
assert far < 1e-4 * np.abs(want).max(), f"{kind}: {far}"
