"""Three tiny encoders in NumPy, written from the papers' equations: prints tests/unit/bert_golden.h, the features that bert.c
must give. Batches are padded and masked here, which the engine does not do.   python3 bert_golden.py >bert_golden.h"""
import math
import numpy as np

WIDTH, HEADS, LAYERS, WIDE, POSITIONS = 8, 2, 2, 12, 16


def tensor(name, *shape):
    """The same numbers as number() in bert.c's test."""
    s = 0.01 * sum(name.encode())
    x = np.array([0.4 * math.sin(0.7 * j + s) for j in range(int(np.prod(shape)))], np.float32).reshape(shape)
    return x + np.float32(1) if name.endswith('ayer_norm.weight') or name.endswith('LayerNorm.weight') else x


def linear(x, name, out):
    return x @ tensor(name + '.weight', out, x.shape[-1]).astype(np.float64).T + tensor(name + '.bias', out)


def norm(x, name, eps):
    mean = x.mean(-1, keepdims=True)
    var = ((x - mean) ** 2).mean(-1, keepdims=True)
    return (x - mean) / np.sqrt(var + eps) * tensor(name + '.weight', WIDTH) + tensor(name + '.bias', WIDTH)


def gelu(x):
    return x * 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


def attention(x, mask, q, k, v):
    n, t, _ = x.shape
    split = lambda name: linear(x, name, WIDTH).reshape(n, t, HEADS, WIDTH // HEADS).transpose(0, 2, 1, 3)
    scores = split(q) @ split(k).transpose(0, 1, 3, 2) / math.sqrt(WIDTH // HEADS)
    scores = np.where(mask[:, None, None, :], scores, -np.inf)
    p = np.exp(scores - scores.max(-1, keepdims=True))
    p /= p.sum(-1, keepdims=True)
    return (p @ split(v)).transpose(0, 2, 1, 3).reshape(n, t, WIDTH)


def features(kind, texts, pad, vocabulary):
    longest = max(map(len, texts)) + 3
    ids = np.array([t + [pad] * (longest - len(t)) for t in texts])
    mask = np.array([[i < len(t) for i in range(longest)] for t in texts])
    eps = 1e-5 if kind == 'roberta' else 1e-12
    positions = np.where(mask, np.cumsum(mask, 1) + 1, 1) if kind == 'roberta' else np.arange(longest)[None]
    e = kind + '.embeddings.'
    x = tensor(e + 'word_embeddings.weight', vocabulary, WIDTH)[ids].astype(np.float64)
    x = x + tensor(e + 'position_embeddings.weight', POSITIONS, WIDTH)[positions]
    if kind != 'distilbert':
        x = x + tensor(e + 'token_type_embeddings.weight', 2 if kind == 'bert' else 1, WIDTH)[0]
    x = norm(x, e + 'LayerNorm', eps)
    for l in range(LAYERS):
        if kind == 'distilbert':
            p = f'distilbert.transformer.layer.{l}.'
            q, k, v, out, norm1 = (p + n for n in ('attention.q_lin', 'attention.k_lin', 'attention.v_lin', 'attention.out_lin',
                                                   'sa_layer_norm'))
            wide, narrow, norm2 = p + 'ffn.lin1', p + 'ffn.lin2', p + 'output_layer_norm'
        else:
            p = f'{kind}.encoder.layer.{l}.'
            q, k, v = (p + 'attention.self.' + n for n in ('query', 'key', 'value'))
            out, norm1 = p + 'attention.output.dense', p + 'attention.output.LayerNorm'
            wide, narrow, norm2 = p + 'intermediate.dense', p + 'output.dense', p + 'output.LayerNorm'
        x = norm(x + linear(attention(x, mask, q, k, v), out, WIDTH), norm1, eps)
        x = norm(x + linear(gelu(linear(x, wide, WIDE)), narrow, WIDTH), norm2, eps)
    h = x[:, 0]
    if kind == 'distilbert':
        return np.maximum(linear(h, 'pre_classifier', WIDTH), 0)
    return np.tanh(linear(h, 'bert.pooler.dense' if kind == 'bert' else 'classifier.dense', WIDTH))


WORDS = [[2, 5, 6, 7, 8, 3], [2, 6, 3], [2, 1, 5, 3]]                # the cats sat|cat|dog the
BYTES = [[256, 97, 98, 32, 99, 258], [256, 258], [256, 195, 169, 258]]  # "ab c", "", e acute
print('/* Made by bert_golden.py. */')
for kind, texts, pad, vocabulary in (('distilbert', WORDS, 0, 9), ('bert', WORDS, 0, 9), ('roberta', BYTES, 257, 261)):
    print(f'static const double golden_{kind}[3][{WIDTH}] = {{')
    for row in features(kind, texts, pad, vocabulary):
        print('    {' + ', '.join(f'{x:.9f}' for x in row) + '},')
    print('};')
