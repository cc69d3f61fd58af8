"""Maps of cryo-electron microscopy, read by NumPy alone and compared with what dalhost exported of them.
mrc_twin.py check MAP EXPORT.npz [STAR BOX]    sections of MAP along z, or squares of BOX round the particles of STAR
mrc_twin.py cut MAP OUT.mrc STAR               a micrograph made of the sections of MAP side by side, and particles in it"""
import gzip, sys
import numpy as np


def read(path):
    data = (gzip.open if path.endswith('.gz') else open)(path, 'rb').read()
    order = '>' if data[212] == 0x11 else '<'
    header = np.frombuffer(data[:1024], order + 'i4')
    columns, rows, sections, mode = header[:4]
    kind = {0: 'i1', 1: 'i2', 2: 'f4', 6: 'u2', 12: 'f2'}[mode]
    a = np.frombuffer(data, order + kind, columns * rows * sections, 1024 + header[23]).reshape(sections, rows, columns)
    axes = list(header[16:19])  # of columns, rows, sections: 1 is x
    return a.transpose([2 - axes.index(3), 2 - axes.index(2), 2 - axes.index(1)]), header  # [z, y, x]


def particles(path):
    rows = [line.split() for line in open(path) if line.strip() and line.strip()[0].isdigit()]
    return [(float(x), float(y), cls) for x, y, _, cls in rows]


if sys.argv[1] == 'cut':
    a, header = read(sys.argv[2])
    image = np.concatenate(list(a), axis=1).astype('>f4')
    head = np.zeros(256, '>i4')
    head[:4] = [image.shape[1], image.shape[0], 1, 2]
    head[16:19] = [1, 2, 3]
    head[52] = int.from_bytes(b'MAP ', 'big')
    head[53] = 0x11110000
    open(sys.argv[3], 'wb').write(head.tobytes() + image.tobytes())
    rng = np.random.default_rng(1)
    with open(sys.argv[4], 'w') as f:
        f.write('data_particles\n\nloop_\n_rlnCoordinateX #1\n_rlnCoordinateY #2\n_rlnMicrographName #3\n_rlnClassNumber #4\n')
        for i in range(60):
            x, y = rng.uniform(8, image.shape[1] - 8), rng.uniform(8, image.shape[0] - 8)
            f.write(f'{x:12.4f} {y:12.4f} Micrographs/{sys.argv[3].rsplit("/")[-1]} {1 + (x > image.shape[1] / 2)}\n')
else:
    a, header = read(sys.argv[2])
    got = np.load(sys.argv[3])
    want, classes = a, None
    if len(sys.argv) > 4:
        box, rows = int(sys.argv[5]), particles(sys.argv[4])
        corners = [(int(np.floor(x + .5)) - box // 2, int(np.floor(y + .5)) - box // 2) for x, y, _ in rows]
        want = np.stack([a[0, y:y + box, x:x + box] for x, y in corners])
        names = sorted({c for _, _, c in rows}, key=int)
        classes = [names.index(c) for _, _, c in rows]
    x = got['train_images'].reshape(len(got['train_images']), *got['train_images'].shape[-2:])
    assert x.shape == want.shape, (x.shape, want.shape)
    assert (x == want.astype(np.float32)).all(), 'values'
    if classes:
        assert (got['train_labels'].ravel() == classes).all(), 'classes'
    elif not len(sys.argv) > 4 and header[3] == 2:  # what the header itself says of its values
        low, high, mean = header[19:22].astype(header.dtype).view(header.dtype.str.replace('i', 'f'))
        assert np.isclose(x.min(), low) and np.isclose(x.max(), high) and np.isclose(x.mean(dtype=float), mean, rtol=1e-3, atol=1e-6)
    print(sys.argv[2].rsplit('/')[-1], x.shape, float(x.sum(dtype=float)))
