"""The real sets of text, read from their original files by Python's own csv, tarfile and zipfile, and compared with what
dalhost exported of them: every text, every class, in order. text_twin.py SET DATA_FOLDER EXPORT.csv"""
import csv, gzip, io, re, sys, tarfile, zipfile

csv.field_size_limit(1 << 30)
name, data, export = sys.argv[1:4]


def lines(path):
    with (gzip.open if path.endswith('.gz') else open)(f'{data}/{path}', 'rb') as f:
        return [line for line in f.read().split(b'\n') if line.strip()]


def table(path, classes, base, decode):
    rows = csv.reader(io.TextIOWrapper(gzip.open(f'{data}/{path}'), 'utf-8', newline=''))
    return [(classes[int(r[0]) - base], decode(' '.join(f for f in r[1:] if f))) for r in rows]


def labelled(path, encoding, coarse=False):
    out = []
    for line in lines(path):
        label, _, text = line.decode('latin-1').partition(' ')
        raw = text.encode('latin-1').strip(b' \t\r')
        if encoding == 'mixed':
            try:
                text = raw.decode('utf-8')
            except UnicodeDecodeError:
                text = raw.decode('latin-1')
        else:
            text = raw.decode(encoding)
        out.append((label.split(':')[0] if coarse else label, text))
    return out


def names(path):
    return [line.decode().strip() for line in lines(path)]


def folders(path, encoding, strip=lambda text: text):
    splits = {'train': [], 'test': []}
    with tarfile.open(f'{data}/{path}') as tar:
        for m in tar:
            parts = m.name.split('/')
            split = re.search('(train|test)$', parts[-3]) if m.isfile() and len(parts) > 2 else None
            if split:
                splits[split.group()].append((m.name, parts[-2], strip(tar.extractfile(m).read().decode(encoding))))
    return {k: [(c, t) for _, c, t in sorted(v, key=lambda e: e[0].encode())] for k, v in splits.items()}


def trees(binary):
    word = ['very negative', 'negative', 'neutral', 'positive', 'very positive']
    out = {}
    with zipfile.ZipFile(f'{data}/sst/trainDevTestTrees_PTB.zip') as z:
        for split, member in ('train', 'train'), ('validation', 'dev'), ('test', 'test'):
            rows = []
            for line in z.read(f'trees/{member}.txt').decode('utf-8').splitlines():
                label = int(line[1])
                if not binary:
                    name_of = word[label]
                elif label == 2:
                    continue
                else:
                    name_of = 'positive' if label > 2 else 'negative'
                rows.append((name_of, ' '.join(re.findall(r' ([^ ()]+)\)', line))))
            out[split] = rows
    return out


def mail(text):
    """What scikit-learn's remove=('headers', 'footers', 'quotes') is said to do."""
    text = text.split('\n\n', 1)[-1]
    rows = text.strip('\n').split('\n')
    text = text.strip('\n')
    for at in range(len(rows) - 1, -1, -1):
        if rows[at].strip(' \t\r').strip('-') == '':
            if at > 0:
                text = '\n'.join(rows[:at])
            break
    quote = re.compile(r'(writes in|writes:|wrote:|says:|said:|^In article|^Quoted from|^\||^>)')
    return '\n'.join(row for row in text.split('\n') if not quote.search(row))


ag, db = names('ag_news/classes.txt'), names('dbpedia/classes.txt')
want = {
    'ag-news': lambda: {'train': table('ag_news/train_subset.csv.gz', ag, 1, lambda t: t.replace('\\', ' ')),
                        'test': table('ag_news/test.csv.gz', ag, 1, lambda t: t.replace('\\', ' '))},
    'dbpedia': lambda: {'train': table('dbpedia/train_14k.csv.gz', db, 0, lambda t: t)},
    'trec': lambda: {'train': labelled('trec/train_5500.label', 'latin-1', True), 'test': labelled('trec/TREC_10.label', 'latin-1', True)},
    'trec-fine': lambda: {'train': labelled('trec/train_5500.label', 'latin-1'), 'test': labelled('trec/TREC_10.label', 'latin-1')},
    'mr': lambda: {'train': labelled('sentence-polarity/rt-polarity.all.gz', 'mixed')},
    'subj': lambda: {'train': labelled('sentence-polarity/subj.all.gz', 'mixed')},
    'cr': lambda: {'train': labelled('sentence-polarity/custrev.all.gz', 'mixed')},
    'mpqa': lambda: {'train': labelled('sentence-polarity/mpqa.all.gz', 'mixed')},
    'sst-5': lambda: trees(False),
    'sst-2': lambda: trees(True),
    'imdb': lambda: folders('imdb/aclImdb_labelled.tar.gz', 'utf-8'),
    '20news': lambda: folders('20newsgroups/20news-bydate.tar.gz', 'latin-1'),
    '20news-bare': lambda: folders('20newsgroups/20news-bydate.tar.gz', 'latin-1', mail),
}[name]()

with open(export, encoding='utf-8', newline='') as f:
    rows = list(csv.reader(f))
header, rows = rows[0], rows[1:]
if header[0] != 'split':
    rows = [['train'] + r for r in rows]
got = {}
for split, cls, text in rows:
    got.setdefault(split, []).append((cls, text))
faults = 0
for split in sorted(set(want) | set(got)):
    a, b = want.get(split, []), got.get(split, [])
    wrong = [i for i in range(min(len(a), len(b))) if a[i] != b[i]]
    if len(a) != len(b) or wrong:
        faults += 1
        print(f'{name} {split}: {len(a)} texts wanted, {len(b)} there, {len(wrong)} differ')
        for i in wrong[:2]:
            print('  wanted', a[i][0], ascii(a[i][1])[:300], '\n  there ', b[i][0], ascii(b[i][1])[:300])
print(name, {k: len(v) for k, v in got.items()}, len({c for v in got.values() for c, _ in v}), 'classes')
sys.exit(faults > 0)
