#include <dal/text.h>

/* ---- UTF-8 ------------------------------------------------------------------------------------ */

/* Bytes of ASCII without NUL at the beginning of p[n], eight at a time: a multiple of 8. */
static int64_t ascii_run(const unsigned char *p, int64_t n)
{
    const uint64_t high = 0x8080808080808080ull, ones = 0x0101010101010101ull;
    int64_t i = 0;
    for (uint64_t w; i + 8 <= n; i += 8) {
        memcpy(&w, p + i, sizeof w);
        if ((w | (w - ones)) & high) /* a high bit, or a NUL (or 0x80 and more, which has one anyway) */
            break;
    }
    return i;
}

/* Bytes of the sequence at p[n], 0 when it is none. */
static int sequence(const unsigned char *p, int64_t n)
{
    if (p[0] < 0x80)
        return p[0] != 0;
    const int length = p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : p[0] < 0xf5 ? 4 : 0;
    if (length > n)
        return 0;
    for (int i = 1; i < length; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) || (p[0] == 0xf0 && p[1] < 0x90) ||
        (p[0] == 0xf4 && p[1] > 0x8f))
        return 0;
    return length;
}

int64_t dal_utf8_fault(const void *data, int64_t n)
{
    const unsigned char *p = data;
    for (int64_t i = 0; i < n;) {
        i += ascii_run(p + i, n - i);
        for (int64_t stop = i + 8; i < n && i < stop;) {
            const int length = sequence(p + i, n - i);
            if (length == 0)
                return i;
            i += length;
        }
    }
    return -1;
}

int dal_utf8_put(uint32_t c, char out[4])
{
    unsigned char *p = (unsigned char *)out;
    if (c < 0x80) {
        p[0] = (unsigned char)c;
        return 1;
    }
    const int n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (int i = n - 1; i > 0; i--, c >>= 6)
        p[i] = (unsigned char)(0x80 | (c & 0x3f));
    p[0] = (unsigned char)((0xf00u >> n) | c);
    return n;
}

int64_t dal_to_utf8(uint32_t encoding, const void *data, int64_t n, char *out)
{
    const unsigned char *p = data;
    int64_t size = 0;
    if (encoding == DAL_UTF8 || (encoding == DAL_MIXED && dal_utf8_fault(data, n) < 0)) {
        if (out && n > 0) /* an empty text may have no address */
            memcpy(out, data, (size_t)n);
        return n;
    }
    for (int64_t i = 0; i < n; i++) {
        if (!out)
            size += p[i] < 0x80 ? 1 : 2;
        else
            size += dal_utf8_put(p[i], out + size);
    }
    return size;
}

/* ---- letters ---------------------------------------------------------------------------------- */

typedef struct range {
    uint32_t first, last;
} range;

static int lies_in(const range *r, int64_t n, uint32_t c)
{
    int64_t low = 0;
    while (n > 0) { /* ranges before `low` end before c */
        const int64_t half = n / 2;
        if (r[low + half].last < c) {
            low += half + 1;
            n -= half + 1;
        } else if (r[low + half].first > c) {
            n = half;
        } else {
            return 1;
        }
    }
    return 0;
}

/* Blocks in which capitals are the even (or odd) numbers and the next one is the small letter. */
static const range even[] = {{0x100, 0x12f}, {0x132, 0x137}, {0x14a, 0x177}, {0x1de, 0x1ef}, {0x1f8, 0x21f},
                             {0x222, 0x233}, {0x246, 0x24f}, {0x370, 0x373}, {0x3d8, 0x3ef}, {0x460, 0x481},
                             {0x48a, 0x4bf}, {0x4d0, 0x52f}, {0x1e00, 0x1e95}, {0x1ea0, 0x1eff}};
static const range odd[] = {{0x139, 0x148}, {0x179, 0x17e}, {0x1cd, 0x1dc}, {0x4c1, 0x4ce}};

uint32_t dal_lower(uint32_t c)
{
    if (c < 0x80)
        return c >= 'A' && c <= 'Z' ? c + 32 : c;
    if (c == 0x130) /* i with a dot: the small letter is plain i */
        return 'i';
    if (c == 0x178)
        return 0xff;
    if ((c >= 0xc0 && c <= 0xde && c != 0xd7) || (c >= 0x391 && c <= 0x3ab && c != 0x3a2) || (c >= 0x410 && c <= 0x42f))
        return c + 32;
    if (c >= 0x400 && c <= 0x40f)
        return c + 80;
    if (c >= 0x531 && c <= 0x556)
        return c + 48;
    if (c == 0x386 || (c >= 0x388 && c <= 0x38a))
        return c == 0x386 ? 0x3ac : c + 37;
    if (c == 0x38c || c == 0x38e || c == 0x38f)
        return c == 0x38c ? 0x3cc : c + 63;
    if (c >= 0xff21 && c <= 0xff3a) /* wide Latin */
        return c + 32;
    if (c % 2 == 0 && lies_in(even, sizeof even / sizeof *even, c))
        return c + 1;
    if (c % 2 == 1 && lies_in(odd, sizeof odd / sizeof *odd, c))
        return c + 1;
    return c;
}

/* Above ASCII: controls, spaces, punctuation, signs, drawings, private use. */
static const range not_words[] = {
    {0x80, 0xa9},       {0xab, 0xb1},       {0xb4, 0xb4},       {0xb6, 0xb8},       {0xbb, 0xbb},
    {0xbf, 0xbf},       {0xd7, 0xd7},       {0xf7, 0xf7},       {0x2c2, 0x2c5},     {0x2d2, 0x2df},
    {0x37e, 0x37e},     {0x387, 0x387},     {0x55a, 0x55f},     {0x589, 0x58f},     {0x5be, 0x5be},
    {0x5c0, 0x5c0},     {0x5c3, 0x5c3},     {0x5f3, 0x5f4},     {0x600, 0x60f},     {0x61b, 0x61f},
    {0x66a, 0x66d},     {0x6d4, 0x6d4},     {0x964, 0x965},     {0xe3f, 0xe3f},     {0x2000, 0x203e},
    {0x2041, 0x2053},   {0x2055, 0x206f},   {0x207a, 0x207e},   {0x208a, 0x208e},   {0x20a0, 0x20cf},
    {0x2100, 0x2101},   {0x2103, 0x2106},   {0x2116, 0x2118},   {0x211e, 0x2123},   {0x2190, 0x245f},
    {0x249c, 0x24e9},   {0x2500, 0x2775},   {0x2794, 0x2bff},   {0x2e00, 0x2e5d},   {0x3000, 0x3004},
    {0x3008, 0x3020},   {0x3030, 0x3030},   {0x303d, 0x303f},   {0x30fb, 0x30fb},   {0xd800, 0xf8ff},
    {0xfe10, 0xfe19},   {0xfe30, 0xfe6f},   {0xfeff, 0xfeff},   {0xff01, 0xff0f},   {0xff1a, 0xff20},
    {0xff3b, 0xff40},   {0xff5b, 0xff65},   {0xffe0, 0xffff},   {0x1f000, 0x1faff}, {0xe0000, 0x10ffff}};

int dal_is_word(uint32_t c)
{
    if (c < 0x80)
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
    return !lies_in(not_words, sizeof not_words / sizeof *not_words, c);
}

const char *dal_next_word(const char *text, int64_t n, int64_t *at, int64_t *bytes, int64_t *characters)
{
    const unsigned char *p = (const unsigned char *)text + *at, *end = (const unsigned char *)text + n, *start = NULL;
    *characters = 0;
    while (p < end) {
        int length;
        const int inside = dal_is_word(dal_utf8_next(p, end, &length));
        if (!inside && start)
            break;
        if (inside && !start)
            start = p;
        *characters += inside;
        p += length;
    }
    *at = p - (const unsigned char *)text;
    *bytes = start ? p - start : 0;
    return (const char *)start;
}

static uint32_t rotate(uint32_t x, int by)
{
    return x << by | x >> (32 - by);
}

uint32_t dal_murmur3(uint32_t seed, const void *data, int64_t n)
{
    const unsigned char *p = data;
    uint32_t h = seed, k = 0;
    int64_t i = 0;
    for (; i + 4 <= n; i += 4) {
        k = p[i] | (uint32_t)p[i + 1] << 8 | (uint32_t)p[i + 2] << 16 | (uint32_t)p[i + 3] << 24;
        h ^= rotate(k * 0xcc9e2d51u, 15) * 0x1b873593u;
        h = rotate(h, 13) * 5 + 0xe6546b64u;
    }
    k = 0;
    for (int64_t j = n - 1; j >= i; j--)
        k = k << 8 | p[j];
    h ^= rotate(k * 0xcc9e2d51u, 15) * 0x1b873593u;
    h ^= (uint32_t)n;
    h = (h ^ h >> 16) * 0x85ebca6bu;
    h = (h ^ h >> 13) * 0xc2b2ae35u;
    return h ^ h >> 16;
}

/* ---- lines ------------------------------------------------------------------------------------ */

dal_lines dal_lines_open(const char *path, const char *key, const void *data, int64_t size)
{
    dal_lines l = {path, key, data, size, 0, 1};
    if (size >= 3 && memcmp(data, "\xef\xbb\xbf", 3) == 0)
        l.at = 3;
    return l;
}

dal_status dal_lines_next(dal_lines *l, const char **text, int64_t *n, dal_error *err)
{
    const char *from = l->data + l->at;
    const int64_t left = l->size - l->at, look = left > DAL_LINE_MOST ? DAL_LINE_MOST + 1 : left;
    *n = -1;
    if (left <= 0)
        return DAL_OK;
    const char *end = memchr(from, '\n', (size_t)look);
    const int64_t length = end ? end - from : look;
    const char *nul = memchr(from, '\0', (size_t)length);
    if (nul)
        return dal_fail(err, DAL_E_FORMAT, l->key, "%s:%lld:%lld: found a NUL byte, expected text", l->path,
                        (long long)l->line, (long long)(nul - from) + 1);
    if (!end && left > DAL_LINE_MOST)
        return dal_fail(err, DAL_E_FORMAT, l->key, "%s:%lld:1: a line of more than %lld bytes", l->path,
                        (long long)l->line, (long long)DAL_LINE_MOST);
    *text = from;
    *n = length > 0 && end && from[length - 1] == '\r' ? length - 1 : length;
    l->at += length + (end != NULL);
    l->line++;
    return DAL_OK;
}
