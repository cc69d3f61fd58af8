"""Arrays for hdf5_make, and what dalhost should make of the files it writes.
hdf5_twin.py splits IN.npz OUT.npz FIRST.npz   its pool and test split alone, some as three channels, last; these, first
hdf5_twin.py raw NPZ NAME OUT TYPE             an array as hdf5_make takes it; its shape on standard output
hdf5_twin.py same A.npz B.npz                  two exports of dalhost have the same arrays, as numbers, under the same names"""
import sys
import numpy as np

if sys.argv[1] == 'splits':
    a = np.load(sys.argv[2])
    out = {f'{s}_{what}': a[f'{s}_{what}'] for s in ('train', 'test') for what in ('images', 'labels')}
    for s in ('train', 'test'):
        image = out[f'{s}_images'][:60]
        out[f'{s}_hwc'] = np.stack([image, 255 - image, image // 2], axis=3)
    np.savez(sys.argv[3], **out)
    np.savez(sys.argv[4], **{f'{s}_images': out[f'{s}_hwc'].transpose(0, 3, 1, 2) for s in ('train', 'test')})
elif sys.argv[1] == 'raw':
    a = np.load(sys.argv[2])[sys.argv[3]]
    kind = {'u8': 'u1', 'f4': '<f4', 'f8': '<f8', 'be-i2': '>i2', 'i8': '<i8'}[sys.argv[5]]
    open(sys.argv[4], 'wb').write(np.ascontiguousarray(a.astype(kind)).tobytes())
    print(*a.shape)
else:
    a, b = np.load(sys.argv[2]), np.load(sys.argv[3])
    assert sorted(a.files) == sorted(b.files), (a.files, b.files)
    for name in a.files:
        assert a[name].shape == b[name].shape and (a[name] == b[name]).all(), name
    print(', '.join(f'{name} {a[name].shape}' for name in a.files))
