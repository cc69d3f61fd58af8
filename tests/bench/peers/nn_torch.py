#!/usr/bin/python3
"""Our networks beside PyTorch's: the same layers, batch, optimiser and number of threads, one after the other.

    nn_torch.py BENCH_NN [--nets lenet,...] [--backend onednn] [--steps N] [--threads N]

Images: SGD with momentum. Texts of 20 to 40 words of 10 000: padded to the longest of the batch, dense embeddings and Adam, as PyTorch's
users write it; for fasttext an embedding bag with sparse gradients and plain SGD over batches of 64, which is faster there (ours steps
after each text). Ours finds the words of the texts it is used on, PyTorch is given their numbers.

BENCH_NN is tests/bench/bench_nn. Prints for each network training and inference in images (or texts) a second and peak memory:
ours, PyTorch's, and the ratio; cpu_ratio is that of processor time, which a busy machine disturbs less (with --threads 1:
idle threads of both sides spin). Ours in f32 and, where the processor multiplies it, trained in bf16. PyTorch (Debian: python3-torch) is told skipped where it is not installed. Each side runs in
a process of its own; PyTorch in its default, f32.
"""
import argparse
import resource
import statistics
import subprocess
import sys
import time

BATCH = 64
TEXTS, TOKENS, WORDS = 16, 128, 30522  # of the encoder
DENSE = ("mlp", "encoder", "textcnn", "bilstm", "transformer", "fasttext")  # without convolutions
ONE_PRECISION = ("mlp", "textcnn", "bilstm", "fasttext")
LEAST, MOST, VOCABULARY = 20, 40, 10000  # words of a text, and different ones; bench_nn has the same
PAIRS = 100 * BATCH * 29  # of words, in as many texts as bench_nn trains fasttext on: almost all are different


def build(name):
    """The network and the shape of its images."""
    import torch
    from torch import nn

    def conv(i, o, k, stride=1, pad=0, bias=True):
        return nn.Conv2d(i, o, k, stride, pad, bias=bias)

    class Block(nn.Module):
        def __init__(self, i, o, stride):
            super().__init__()
            self.body = nn.Sequential(conv(i, o, 3, stride, 1, False), nn.BatchNorm2d(o), nn.ReLU(inplace=True),
                                      conv(o, o, 3, 1, 1, False), nn.BatchNorm2d(o))
            self.side = nn.Sequential()
            if stride > 1 or i != o:
                self.side = nn.Sequential(conv(i, o, 1, stride, 0, False), nn.BatchNorm2d(o))
            self.relu = nn.ReLU(inplace=True)

        def forward(self, x):
            return self.relu(self.body(x) + self.side(x))

    def trunk():
        blocks, i = [], 64
        for stage in range(4):
            for block in range(2):
                o = 64 << stage
                blocks.append(Block(i, o, 2 if stage > 0 and block == 0 else 1))
                i = o
        return blocks + [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10)]

    def stem(k, stride):
        return [conv(3, 64, k, stride, k // 2, False), nn.BatchNorm2d(64), nn.ReLU(inplace=True)]

    class Encoder(nn.Module):
        """As large as DistilBERT, with its dropout."""

        def __init__(self):
            super().__init__()
            self.words, self.places = nn.Embedding(WORDS, 768), nn.Embedding(512, 768)
            self.norm, self.drop = nn.LayerNorm(768), nn.Dropout(0.1)
            layer = nn.TransformerEncoderLayer(768, 12, 3072, 0.1, "gelu", batch_first=True)
            self.body = nn.TransformerEncoder(layer, 6)
            self.head = nn.Sequential(nn.Linear(768, 768), nn.ReLU(), nn.Dropout(0.2), nn.Linear(768, 10))

        def forward(self, x):
            places = torch.arange(x.shape[1])
            return self.head(self.body(self.drop(self.norm(self.words(x) + self.places(places))))[:, 0])

    class Wide(nn.Module):
        """A block of a wide residual network: norm and ReLU come first."""

        def __init__(self, i, o, stride, changes):
            super().__init__()
            self.first = nn.Sequential(nn.BatchNorm2d(i), nn.ReLU(inplace=True))
            self.body = nn.Sequential(conv(i, o, 3, stride, 1, False), nn.BatchNorm2d(o), nn.ReLU(inplace=True),
                                      conv(o, o, 3, 1, 1, False))
            self.side = conv(i, o, 1, stride, 0, False) if changes else None

        def forward(self, x):
            a = self.first(x)
            return self.body(a) + (self.side(a) if self.side else x)

    def wide_resnet():
        blocks, i = [conv(3, 16, 3, 1, 1, False)], 16
        for stage, o in enumerate((32, 64, 128)):
            for block in range(2):
                blocks.append(Wide(i, o, 2 if stage > 0 and block == 0 else 1, block == 0))
                i = o
        return blocks + [nn.BatchNorm2d(128), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, 10)]

    def vgg(depths):
        layers, i = [], 3
        for depth, o in zip(depths, (64, 128, 256, 512, 512)):
            for _ in range(depth):
                layers += [conv(i, o, 3, 1, 1), nn.BatchNorm2d(o), nn.ReLU(inplace=True)]
                i = o
            layers.append(nn.MaxPool2d(2))
        return layers + [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10)]

    class Bottleneck(nn.Module):
        def __init__(self, i, widen, o, stride):
            super().__init__()
            inner = i * widen
            self.body = nn.Sequential(*(normed(i, inner, 1) if widen > 1 else []), *normed(inner, inner, 3, stride, inner),
                                      conv(inner, o, 1, bias=False), nn.BatchNorm2d(o))
            self.adds = stride == 1 and i == o

        def forward(self, x):
            return x + self.body(x) if self.adds else self.body(x)

    def normed(i, o, k, stride=1, groups=1):
        return [nn.Conv2d(i, o, k, stride, k // 2, groups=groups, bias=False), nn.BatchNorm2d(o), nn.ReLU6(inplace=True)]

    def mobilenet():
        layers, i = normed(3, 32, 3), 32
        for g, (widen, o, blocks, stride) in enumerate(((1, 16, 1, 1), (6, 24, 2, 1), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1),
                                                        (6, 160, 3, 2), (6, 320, 1, 1))):
            for block in range(blocks):
                layers.append(Bottleneck(i, widen, o, 1 if block else stride))
                i = o
        return layers + normed(320, 1280, 1) + [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1280, 10)]

    class TextCnn(nn.Module):
        def __init__(self):
            super().__init__()
            self.words = nn.Embedding(VOCABULARY + 1, 300, padding_idx=0)
            self.convs = nn.ModuleList(nn.Conv1d(300, 100, k, padding=k // 2) for k in (3, 4, 5))
            self.head = nn.Sequential(nn.Dropout(0.5), nn.Linear(300, 10))

        def forward(self, x):
            x = self.words(x).transpose(1, 2)
            return self.head(torch.cat([torch.relu(c(x)).amax(2) for c in self.convs], 1))

    class BiLstm(nn.Module):
        def __init__(self):
            super().__init__()
            self.words, self.drop = nn.Embedding(VOCABULARY + 1, 200, padding_idx=0), nn.Dropout(0.5)
            self.lstm = nn.LSTM(200, 128, batch_first=True, bidirectional=True)
            self.output = nn.Linear(256, 10)

        def forward(self, x):
            return self.output(self.drop(self.lstm(self.drop(self.words(x)))[0].amax(1)))

    class Transformer(nn.Module):
        def __init__(self):
            super().__init__()
            self.words, self.places = nn.Embedding(VOCABULARY + 1, 128, padding_idx=0), nn.Embedding(128, 128)
            self.drop = nn.Dropout(0.1)
            layer = nn.TransformerEncoderLayer(128, 4, 512, 0.1, "gelu", batch_first=True, norm_first=True)
            self.body = nn.TransformerEncoder(layer, 2, nn.LayerNorm(128))
            self.output = nn.Linear(128, 10)

        def forward(self, x):
            there = x > 0
            y = self.drop(self.words(x) + self.places(torch.arange(x.shape[1])))
            y = self.body(y, src_key_padding_mask=~there) * there.unsqueeze(2)
            return self.output(y.sum(1) / there.sum(1, keepdim=True))

    class FastText(nn.Module):
        def __init__(self):
            super().__init__()
            self.tokens = nn.EmbeddingBag(VOCABULARY + PAIRS, 64, sparse=True)
            self.output = nn.Linear(64, 10)

        def forward(self, x):
            return self.output(self.tokens(*x))

    texts = {"encoder": Encoder, "textcnn": TextCnn, "bilstm": BiLstm, "transformer": Transformer, "fasttext": FastText}
    if name in texts:
        return texts[name](), None
    if name in ("vgg11", "vgg16"):
        return nn.Sequential(*vgg((1, 1, 2, 2, 2) if name == "vgg11" else (2, 2, 3, 3, 3))), (3, 32, 32)
    if name == "wide-resnet-16-2":
        return nn.Sequential(*wide_resnet()), (3, 32, 32)
    if name == "mobilenet-v2":
        return nn.Sequential(*mobilenet()), (3, 32, 32)
    if name == "lenet":
        return nn.Sequential(conv(1, 32, 5), nn.ReLU(), nn.MaxPool2d(2), conv(32, 64, 5), nn.ReLU(), nn.MaxPool2d(2),
                             nn.Flatten(), nn.Linear(1024, 128), nn.ReLU(), nn.Dropout(0.5), nn.Linear(128, 10)), (1, 28, 28)
    if name == "cnn-small":
        layers, i = [], 3
        for stage, o in enumerate((32, 64, 128)):
            layers += [nn.MaxPool2d(2)] if stage else []
            for _ in range(2):
                layers += [conv(i, o, 3, 1, 1), nn.BatchNorm2d(o), nn.ReLU()]
                i = o
        layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.5), nn.Linear(128, 10)]
        return nn.Sequential(*layers), (3, 32, 32)
    if name == "resnet18":
        return nn.Sequential(*stem(3, 1), *trunk()), (3, 32, 32)
    if name == "deepal-mnist-net":
        return nn.Sequential(conv(1, 3, 1), *stem(7, 2), nn.MaxPool2d(3, 2, 1), *trunk()), (1, 28, 28)
    if name == "mlp":
        return nn.Sequential(nn.Flatten(), nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 10)), (1, 28, 28)
    sys.exit("no network " + name)


def median_seconds(run, least, repeats):
    run()
    took, used = [], []
    for _ in range(repeats):
        start, cpu = time.perf_counter(), time.process_time()
        run()
        took.append(time.perf_counter() - start)
        used.append(time.process_time() - cpu)
        if sum(took) > least and len(took) > 2:
            break
    return statistics.median(took), statistics.median(used)


def inputs(name, shape):
    """Batches, one after the other; of images the same one."""
    import torch
    if shape:
        return [torch.rand(BATCH, *shape)]
    if name == "encoder":
        return [torch.randint(WORDS, (TEXTS, TOKENS))]
    batches = []
    for _ in range(50):
        lengths = torch.randint(LEAST, MOST + 1, (BATCH,))
        if name == "fasttext":
            tokens = [torch.cat((torch.randint(VOCABULARY, (n,)), VOCABULARY + torch.randint(PAIRS, (n - 1,))))
                      for n in lengths.tolist()]
            ends = torch.cumsum(torch.tensor([0] + [len(t) for t in tokens]), 0)
            batches.append((torch.cat(tokens), ends[:-1]))
            continue
        x = torch.randint(1, VOCABULARY + 1, (BATCH, int(lengths.max())))
        batches.append(x * (torch.arange(x.shape[1]) < lengths.unsqueeze(1)))
    return batches


def torch_side(name, repeats, threads):
    import itertools
    import torch
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    net, shape = build(name)
    n = TEXTS if name == "encoder" else BATCH
    batches, y = itertools.cycle(inputs(name, shape)), torch.arange(n) % 10
    if name in ("textcnn", "bilstm", "transformer"):
        rule = torch.optim.Adam(net.parameters(), lr=1e-3)
    else:
        rule = torch.optim.SGD(net.parameters(), lr=1e-3, momentum=0 if name == "fasttext" else 0.9)
    loss = torch.nn.CrossEntropyLoss()

    def step():
        rule.zero_grad(set_to_none=True)
        loss(net(next(batches)), y).backward()
        rule.step()

    def infer():
        with torch.no_grad():
            net(next(batches))

    net.train()
    train = median_seconds(step, 5, repeats)
    net.eval()
    used = median_seconds(infer, 3, repeats)
    print(n / train[0], n / used[0], 1e3 * train[1], 1e3 * used[1],
          resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, torch.__version__)


def ours(bench, name, backend, threads):
    """None where there is no bf16."""
    words = subprocess.run([bench, name, "openblas" if name in DENSE and backend != "bf16" else backend, f"threads={threads}"],
                           capture_output=True, text=True, check=True).stdout.split()
    found = dict(word.split("=", 1) for word in words if "=" in word)
    return [float(found[key]) for key in ("train_per_s", "infer_per_s", "train_cpu_ms", "infer_cpu_ms", "peak_mib",
                                          "train_of_gemm", "infer_of_gemm", "ready_ms", "begin_ms")] if "skipped" not in words else None


def beside(mine, theirs):
    train, infer, train_cpu, infer_cpu, peak = map(float, theirs[:5])
    return f" torch={theirs[5]} torch_train_per_s={train:.1f} torch_infer_per_s={infer:.1f} torch_peak_mib={peak:.0f} " \
           f"train_ratio={mine[0] / train:.2f} infer_ratio={mine[1] / infer:.2f} " \
           f"train_cpu_ratio={train_cpu / mine[2]:.2f} infer_cpu_ratio={infer_cpu / mine[3]:.2f}"


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("bench")
    options.add_argument("--nets", default="lenet,cnn-small,resnet18,deepal-mnist-net,wide-resnet-16-2,vgg11,vgg16,mobilenet-v2,mlp,"
                         "textcnn,bilstm,transformer,fasttext,encoder")
    options.add_argument("--backend", default="onednn")
    options.add_argument("--steps", type=int, default=200)
    options.add_argument("--threads", type=int, default=2)
    options.add_argument("--torch", help=argparse.SUPPRESS)
    o = options.parse_args()
    if o.torch:
        return torch_side(o.torch, o.steps, o.threads)
    try:
        import torch  # noqa: F401
        there = True
    except ImportError:
        there = False
        print("peers_nn torch=skipped (python3-torch is not installed)")
    for name in o.nets.split(","):
        theirs = None
        if there:
            theirs = subprocess.run([sys.executable, __file__, o.bench, "--torch", name, "--steps", str(o.steps),
                                     "--threads", str(o.threads)], capture_output=True, text=True, check=True).stdout.split()
        for backend in [o.backend] if name in ONE_PRECISION else [o.backend, "bf16"]:
            mine = ours(o.bench, name, backend, o.threads)
            batch = TEXTS if name == "encoder" else BATCH
            head = f"peers_nn net={name} backend={backend} batch={batch} threads={o.threads}"
            if mine is None:
                print(head, "skipped (no bf16 on this processor)", flush=True)
                continue
            line = f"{head} train_per_s={mine[0]:.1f} infer_per_s={mine[1]:.1f} peak_mib={mine[4]:.0f} " \
                   f"train_of_gemm={mine[5]:.2f} infer_of_gemm={mine[6]:.2f} ready_ms={mine[7]:.0f} " \
                   f"begin_ms={mine[8]:.0f}"
            print(line + (beside(mine, theirs) if theirs else ""), flush=True)
    return None


main()
