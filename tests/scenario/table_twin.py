"""Tables of words and numbers, read by Python's own csv and made one-hot by NumPy, and compared with what dalhost exported.
table_twin.py arff CSV OUT.arff [sparse]      the same table as an ARFF file, nominal values in the order of one-hot
table_twin.py check CSV HOW EXPORT.npz        HOW: mean or median of missing numbers, and an indicator for each column"""
import csv, gzip, sys
import numpy as np


def read(path):
    with (gzip.open(path, 'rt') if path.endswith('.gz') else open(path)) as f:
        rows = [[v.strip() for v in r] for r in csv.reader(f) if r]
    names, rows = rows[0], rows[1:]
    return names, [list(column) for column in zip(*rows)]


def missing(v):
    return v in ('', '?')


def words(column):
    """Its texts in order when it is one of words, else None."""
    try:
        [float(v) for v in column if not missing(v)]
    except ValueError:
        return sorted({v for v in column if not missing(v)})


def matrix(columns, how):
    values, marks = [], []
    for column in columns:
        order = words(column)
        holes = np.array([missing(v) for v in column])
        if order:
            values += [np.array([float(v == w) for v in column]) for w in order]
        else:
            x = np.array([np.nan if missing(v) else np.float32(v) for v in column], dtype=np.float64)
            x[holes] = np.nanmean(x) if how == 'mean' else np.nanmedian(x)
            values.append(x)
        if holes.any():
            marks.append(holes.astype(float))
    return np.stack(values + marks, axis=1).astype(np.float32)


def quoted(v):
    return '?' if missing(v) else "'" + v.replace('\\', '\\\\').replace("'", "\\'") + "'"


def arff(path, out, sparse):
    names, columns = read(path)
    kinds = [words(c) for c in columns]
    with open(out, 'w') as f:
        f.write('% made of ' + path.rsplit('/')[-1] + '\n@RELATION "a table"\n')
        for name, kind in zip(names, kinds):
            f.write(f"@attribute {quoted(name)} {'{' + ', '.join(map(quoted, kind)) + '}' if kind else 'numeric'}\n")
        f.write('\n@data\n')
        for row in zip(*columns):
            cells = [quoted(v) if kind else v or '?' for v, kind in zip(row, kinds)]
            if sparse:
                kept = [f'{j} {c}' for j, (c, v, kind) in enumerate(zip(cells, row, kinds))
                        if missing(v) or (v != kind[0] if kind else float(v) != 0)]
                f.write('{' + ', '.join(kept) + '}\n')
            else:
                f.write(','.join(cells) + '\n')


if sys.argv[1] == 'arff':
    arff(sys.argv[2], sys.argv[3], len(sys.argv) > 4)
else:
    names, columns = read(sys.argv[2])
    want, got = matrix(columns[:-1], sys.argv[3]), np.load(sys.argv[4])
    classes = sorted(set(columns[-1]))
    assert got['x_train'].shape == want.shape, (got['x_train'].shape, want.shape)
    worst = np.abs(got['x_train'] - want).max(axis=0)
    assert np.allclose(got['x_train'], want, rtol=1e-6, atol=0), ('columns', np.nonzero(worst)[0], worst.max())
    assert (got['y_train'] == [classes.index(c) for c in columns[-1]]).all(), 'classes'
    print(f'{sys.argv[2].rsplit("/")[-1]}: {want.shape[0]} rows of {want.shape[1]} values, {len(classes)} classes')
