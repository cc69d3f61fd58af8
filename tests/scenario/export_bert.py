"""Folders of tiny encoders in NumPy, for export_bert.test. It knows nothing of dalhost: names, layers and settings are those of
Hugging Face's transformers.
    export_bert.py make FOLDER FAMILY     random weights, without a last layer
    export_bert.py guess FOLDER TABLE     accuracy and log loss of the classifier in FOLDER on a table of label,text
    export_bert.py names FILE             tensors of a .safetensors file
    export_bert.py same FILE FILE         do two have the same ones?
    export_bert.py classes FOLDER         what they are called
"""
import csv, json, math, os, sys
import numpy as np

WIDTH, HEADS, LAYERS, WIDE, POSITIONS = 16, 2, 2, 24, 40
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "bad", "odd", "w0", "w1", "w2", "w3", "w4", "w5", "##s"]
BODY = {"bert": ("encoder.layer.", "attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense",
                 "attention.output.LayerNorm", "intermediate.dense", "output.dense", "output.LayerNorm")}
BODY["roberta"] = BODY["bert"]
BODY["distilbert"] = ("transformer.layer.", "attention.q_lin", "attention.k_lin", "attention.v_lin", "attention.out_lin",
                      "sa_layer_norm", "ffn.lin1", "ffn.lin2", "output_layer_norm")
HEAD = {"bert": "bert.pooler.dense", "roberta": "classifier.dense", "distilbert": "pre_classifier"}
LAST = {"bert": "classifier", "roberta": "classifier.out_proj", "distilbert": "classifier"}


def read(path):
    raw = open(path, "rb").read()
    end = 8 + int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8:end])
    meta = header.pop("__metadata__", {})
    return {k: np.frombuffer(raw[end:][slice(*v["data_offsets"])], "<f4").reshape(v["shape"]) for k, v in header.items()}, meta


def write(path, tensors):
    at, header = 0, {"__metadata__": {"format": "pt"}}
    for k, v in tensors.items():
        header[k] = {"dtype": "F32", "shape": list(v.shape), "data_offsets": [at, at + v.nbytes]}
        at += v.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    open(path, "wb").write(len(text).to_bytes(8, "little") + text + b"".join(v.astype("<f4").tobytes() for v in tensors.values()))


def letters():
    """Byte-level BPE: which character stands for each byte."""
    own = [b for b in range(256) if 33 <= b <= 126 or 161 <= b <= 172 or b >= 174]
    other = [b for b in range(256) if b not in own]
    return {**{b: chr(b) for b in own}, **{b: chr(256 + i) for i, b in enumerate(other)}}


def make(folder, family):
    os.mkdir(folder)
    r = np.random.default_rng(7)
    vocabulary = 261 if family == "roberta" else len(WORDS)
    t = {}
    def both(name, out, into=None):
        t[name + ".weight"] = (r.normal(size=(out, into)) * 0.3 if into else 1 + 0.1 * r.normal(size=out)).astype("f4")
        t[name + ".bias"] = (0.1 * r.normal(size=out)).astype("f4")
    e = family + ".embeddings."
    for table, rows in (("word", vocabulary), ("position", POSITIONS), ("token_type", {"bert": 2, "roberta": 1}.get(family, 0))):
        if rows:
            t[f"{e}{table}_embeddings.weight"] = (0.5 * r.normal(size=(rows, WIDTH))).astype("f4")
    both(e + "LayerNorm", WIDTH)
    prefix, q, k, v, out, norm1, wide, narrow, norm2 = BODY[family]
    for l in range(LAYERS):
        p = f"{family}.{prefix}{l}."
        for name, rows, cols in ((q, WIDTH, WIDTH), (k, WIDTH, WIDTH), (v, WIDTH, WIDTH), (out, WIDTH, WIDTH), (norm1, WIDTH, None),
                                 (wide, WIDE, WIDTH), (narrow, WIDTH, WIDE), (norm2, WIDTH, None)):
            both(p + name, rows, cols)
    if family == "bert":
        both(HEAD[family], WIDTH, WIDTH)
    write(folder + "/model.safetensors", t)
    distil = family == "distilbert"
    config = {"model_type": family, "vocab_size": vocabulary, "max_position_embeddings": POSITIONS, "torch_dtype": "float16",
              "architectures": ["ForMaskedLM"], "of_our_own": {"kept": [1, 2]},
              "dim" if distil else "hidden_size": WIDTH, "n_layers" if distil else "num_hidden_layers": LAYERS,
              "n_heads" if distil else "num_attention_heads": HEADS, "hidden_dim" if distil else "intermediate_size": WIDE,
              "activation" if distil else "hidden_act": "gelu", "type_vocab_size": 1 if family == "roberta" else 2,
              "layer_norm_eps": 1e-5 if family == "roberta" else 1e-12, "pad_token_id": 1}
    json.dump(config, open(folder + "/config.json", "w"))
    if family == "roberta":
        words = {c: b for b, c in letters().items()} | {"<s>": 256, "<pad>": 257, "</s>": 258, "<unk>": 259, "<mask>": 260}
        json.dump(words, open(folder + "/vocab.json", "w"))
        open(folder + "/merges.txt", "w").write("#version: 0.2\n")
    else:
        open(folder + "/vocab.txt", "w").write("\n".join(WORDS) + "\n")


def ids_of(folder, family, text, longest):
    if family == "roberta":
        v, of = json.load(open(folder + "/vocab.json")), letters()
        pieces, marks = [v[of[b]] for b in text.encode()], (v["<s>"], v["</s>"])
    else:
        v = {w: i for i, w in enumerate(open(folder + "/vocab.txt").read().split("\n"))}
        lower = json.load(open(folder + "/tokenizer_config.json"))["do_lower_case"]
        pieces, marks = [v.get(w, v["[UNK]"]) for w in (text.lower() if lower else text).split()], (v["[CLS]"], v["[SEP]"])
    return [marks[0], *pieces[:longest - 2], marks[1]]


def logits(t, c, family, ids):
    linear = lambda x, name: x @ t[name + ".weight"].astype(float).T + t[name + ".bias"]
    def norm(x, name):
        x = x - x.mean(-1, keepdims=True)
        return x / np.sqrt((x ** 2).mean(-1, keepdims=True) + c["layer_norm_eps"]) * t[name + ".weight"] + t[name + ".bias"]
    e = family + ".embeddings."
    first = c["pad_token_id"] + 1 if family == "roberta" else 0
    x = t[e + "word_embeddings.weight"][ids].astype(float) + t[e + "position_embeddings.weight"][first:first + len(ids)]
    if family != "distilbert":
        x = x + t[e + "token_type_embeddings.weight"][0]
    x = norm(x, e + "LayerNorm")
    prefix, q, k, v, out, norm1, wide, narrow, norm2 = BODY[family]
    for l in range(LAYERS):
        p = f"{family}.{prefix}{l}."
        split = lambda name: linear(x, p + name).reshape(len(ids), HEADS, -1).transpose(1, 0, 2)
        a = split(q) @ split(k).transpose(0, 2, 1) / math.sqrt(WIDTH // HEADS)
        a = np.exp(a - a.max(-1, keepdims=True))
        y = (a / a.sum(-1, keepdims=True) @ split(v)).transpose(1, 0, 2).reshape(len(ids), -1)
        x = norm(x + linear(y, p + out), p + norm1)
        y = linear(x, p + wide)
        y = y * 0.5 * (1 + np.vectorize(math.erf)(y / math.sqrt(2)))
        x = norm(x + linear(y, p + narrow), p + norm2)
    h = linear(x[0], HEAD[family])
    return linear(np.maximum(h, 0) if family == "distilbert" else np.tanh(h), LAST[family])


def guess(folder, table, longest=12):
    c = json.load(open(folder + "/config.json"))
    t, meta = read(folder + "/model.safetensors")
    family = c["model_type"]
    assert meta["format"] == "pt" and not [k for k in meta if k.startswith("file:")], meta.keys()
    assert c["architectures"] == [{"bert": "Bert", "roberta": "Roberta", "distilbert": "DistilBert"}[family] +
                                  "ForSequenceClassification"], c
    assert c["of_our_own"] == {"kept": [1, 2]} and c["torch_dtype"] == "float32", c
    assert len(c["id2label"]) == len(c["label2id"]) == len(t[LAST[family] + ".bias"]), c
    hits = loss = n = 0
    for label, text in csv.reader(open(table)):
        z = logits(t, c, family, ids_of(folder, family, text, longest))
        hits += z.argmax() == int(label)
        loss -= z[int(label)] - z.max() - math.log(np.exp(z - z.max()).sum())
        n += 1
    print(hits / n, loss / n)


if __name__ == "__main__":
    what, rest = sys.argv[1], sys.argv[2:]
    if what == "names":
        print("\n".join(read(rest[0])[0]))
    elif what == "classes":
        c = json.load(open(rest[0] + "/config.json"))
        assert {v: int(k) for k, v in c["id2label"].items()} == c["label2id"], c
        print(*(c["id2label"][str(k)] for k in range(len(c["id2label"]))))
    elif what == "same":
        a, b = (read(f)[0] for f in rest)
        sys.exit(list(a) != list(b) or any(a[k].shape != b[k].shape or a[k].tobytes() != b[k].tobytes() for k in a))
    else:
        {"make": make, "guess": guess}[what](*rest)
