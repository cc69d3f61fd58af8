"""The LSTMs of nn_texts.h by PyTorch, from slices of the names that it gives them: lstm_twin.py WEIGHTS IDS.npy LOGITS.npy"""
import json
import sys

import numpy as np
import torch

weights, ids, logits = sys.argv[1:]
raw = open(weights, "rb").read()
end = 8 + int.from_bytes(raw[:8], "little")
tensors = {k: torch.from_numpy(np.frombuffer(raw[end:][slice(*t["data_offsets"])], "<f4").reshape(t["shape"]).astype(float))
           for k, t in json.loads(raw[8:end]).items() if k != "__metadata__"}


def lstm(name, x, directions):
    state = {k[len(name) + 1:].replace("_reverse", "" if directions == 1 else "_reverse"): v for k, v in tensors.items() if k.startswith(name + ".")}
    layer = torch.nn.LSTM(x.shape[-1], len(state["bias_hh_l0"]) // 4, bidirectional=directions == 2, batch_first=True).double()
    layer.load_state_dict(state)
    return layer(x)[0]


def reverse(name, x):
    """PyTorch has no LSTM that only goes back: one over the text from its end."""
    return lstm(name, x.flip(1), 1).flip(1)


def text(row):
    row = row[row >= 0]
    if len(row) == 0:
        return tensors["output.bias"]
    x = tensors["embedding.words"][torch.from_numpy(row).long()][None]
    both = lstm("both", x, 2)
    back = reverse("back", both)
    on = lstm("on", back, 1)
    x = torch.cat([both[0].max(0)[0], back[0].mean(0), on[0].mean(0)])
    return tensors["output.weight"] @ x + tensors["output.bias"]


want = np.load(logits)
with torch.no_grad():
    have = np.array([text(row).numpy() for row in np.load(ids)])
assert want.std() > 0.1 and np.abs(have - want).max() < 2e-5, np.abs(have - want).max()
