"""Tokenisers once more, slow and plain, from Python's own Unicode tables: WordPiece by trying every piece, byte-level BPE by
merging the best pair until there is none. Compares the sequences that dalhost exported with those of the texts it exported.
tokens_twin.py KIND FOLDER TEXTS.csv TOKENS.csv   (KIND: wordpiece, bpe)
tokens_twin.py texts                              every character in random company, as JSON lines"""
import csv, json, random, sys, unicodedata

csv.field_size_limit(1 << 30)
category = unicodedata.category
SPACES = set('\t\n\x0b\x0c\r\x85')


def is_space(c):
    return c in SPACES or category(c)[0] == 'Z'


def is_ideograph(c):
    n = ord(c)
    return any(a <= n <= b for a, b in ((0x4e00, 0x9fff), (0x3400, 0x4dbf), (0x20000, 0x2a6df), (0x2a700, 0x2b73f),
                                        (0x2b740, 0x2b81f), (0x2b820, 0x2ceaf), (0xf900, 0xfaff), (0x2f800, 0x2fa1f)))


def is_punctuation(c):
    n = ord(c)
    return 33 <= n <= 47 or 58 <= n <= 64 or 91 <= n <= 96 or 123 <= n <= 126 or category(c)[0] == 'P'


def words_of(text):
    clean = ''
    for c in text:
        if c in '\0\ufffd' or (category(c)[0] == 'C' and c not in '\t\n\r'):
            continue
        clean += ' ' if is_space(c) else f' {c} ' if is_ideograph(c) else c
    for word in clean.split(' '):
        word = unicodedata.normalize('NFD', ''.join(c.lower() for c in word))
        out = ''
        for c in word:
            if category(c) != 'Mn':
                out += f' {c} ' if is_punctuation(c) else c
        yield from out.split()


def wordpiece(text, vocabulary):
    ids = []
    for word in words_of(text):
        pieces, at = [], 0
        while at < len(word) <= 100:
            ends = [e for e in range(at + 1, len(word) + 1) if ('##' if at else '') + word[at:e] in vocabulary]
            if not ends:
                break
            pieces.append(vocabulary[('##' if at else '') + word[at:ends[-1]]])
            at = ends[-1]
        ids += pieces if pieces and at == len(word) else [vocabulary['[UNK]']]
    return ids


def kind(c):
    return 'L' if category(c)[0] == 'L' else 'N' if category(c)[0] == 'N' else ' ' if is_space(c) else '.'


def parts_of(text):
    at = 0
    while at < len(text):
        short = next((s for s in ("'s", "'t", "'re", "'ve", "'m", "'ll", "'d") if text.startswith(s, at)), None)
        if short:
            end = at + len(short)
        else:
            skip = text[at] == ' ' and at + 1 < len(text) and kind(text[at + 1]) != ' '
            end = at + skip
            k = kind(text[end])
            while end < len(text) and kind(text[end]) == k:
                end += 1
            if k == ' ' and end < len(text) and end - at > 1:
                end -= 1
        yield text[at:end]
        at = end


def byte_characters():
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in plain]
    return {**{b: chr(b) for b in plain}, **{b: chr(256 + i) for i, b in enumerate(others)}}


def bpe_part(part, ranks):
    while len(part) > 1:
        best = min(zip(part, part[1:]), key=lambda p: ranks.get(p, 1 << 60))
        if best not in ranks:
            break
        merged, i = [], 0
        while i < len(part):
            two = i + 1 < len(part) and (part[i], part[i + 1]) == best
            merged.append(part[i] + part[i + 1] if two else part[i])
            i += 2 if two else 1
        part = merged
    return part


def bpe(text, vocabulary, ranks, characters, known={}):
    ids = []
    for part in parts_of(text):
        if part not in known:
            known[part] = [vocabulary[p] for p in bpe_part([characters[b] for b in part.encode()], ranks)]
        ids += known[part]
    return ids


def texts():
    random.seed(7)
    every = [chr(n) for n in range(1, 0x110000) if category(chr(n)) not in ('Cn', 'Cs', 'Co')]
    random.shuffle(every)
    few = [every[i:i + 40] for i in range(0, len(every), 40)]
    yield from (''.join(c + random.choice(['', 'a', ' ', 'B', '-', "'s", '\u0301']) for c in part) for part in few)
    common = ("aAbB\u00e9E\u0301\u00fc\u00df'\u2019.,!?  \t\n12\u0663\u00bd\u4e2d\ud55c\uae00\u0323\u03a3\u03c3\u03c2\u0130i\u0131\u2163"
              "\u00a0\u3000\u2028-\u2014#@\uff71\U0001d518\U0001f600\ufb01\U0001d16d\U0001d165\u0302\u0316\u302e")
    yield from (''.join(random.choice(common) for _ in range(random.randrange(60))) for _ in range(3000))
    yield from (c * n for n in (99, 100, 101, 300) for c in ('a', '\u00e9', 'x1'))
    yield from ("don't can't WE'LL it's 's  's", 'hello   world \n\n x', '  lead', 'trail  ', ' ', '\n', '[SEP] <s>')


def main(name, folder, plain, tokens):
    if name == 'wordpiece':
        lines = open(f'{folder}/bert-base-uncased-vocab.txt', encoding='utf-8', newline='\n').read().split('\n')
        vocabulary = {line: i for i, line in enumerate(lines) if line}
        encode, begin, end = lambda t: wordpiece(t, vocabulary), 101, 102
    else:
        vocabulary = json.load(open(f'{folder}/gpt2-vocab.json', encoding='utf-8'))
        lines = open(f'{folder}/gpt2-merges.txt', encoding='utf-8').read().split('\n')[1:]
        ranks = {tuple(line.split()): i for i, line in enumerate(lines) if line}
        characters = byte_characters()
        encode, begin, end = lambda t: bpe(t, vocabulary, ranks, characters), 50256, 50256
    compared = 0
    with open(plain, encoding='utf-8', newline='') as f, open(tokens, newline='') as g:
        a, b = csv.DictReader(f), csv.reader(g)
        columns = [i for i, c in enumerate(next(b)) if c not in ('split', 'label')]
        for row, numbers in zip(a, b):
            got = [int(float(numbers[i])) for i in columns]
            ids = [begin] + encode(row['text'])[:len(got) - 2] + [end]
            if got != ids + [-1] * (len(got) - len(ids)):
                sys.exit(f'{row["text"]!r}\n  expected {ids}\n  got      {got}')
            compared += 1
        if next(a, None) or next(b, None) or not compared:
            sys.exit('not as many texts as sequences')
    print(f'{name}: {compared} texts')


if sys.argv[1] == 'texts':
    for i, text in enumerate(texts()):
        print(json.dumps({'text': text, 'label': 'ab'[i % 2]}))
else:
    main(*sys.argv[1:])
