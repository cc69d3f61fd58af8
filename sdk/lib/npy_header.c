/* The header is a Python dict: {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }. Three keys,
 * each once, in any order, and nothing else.
 */
#include "npy_header.h"

#include <ctype.h>

#define MAX_HEADER_BYTES 65536 /* ours are 64 to 128; longer ones describe records, which are refused */

typedef struct cursor {
    const char *p, *end;
    char *problem;
    size_t problem_size;
} cursor;

DAL_PRINTF(2, 3)
static int refuse(cursor *c, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(c->problem, c->problem_size, fmt, ap);
    va_end(ap);
    return 0;
}

static void skip_space(cursor *c)
{
    while (c->p < c->end && (*c->p == ' ' || *c->p == '\n' || *c->p == '\t' || *c->p == '\r'))
        c->p++;
}

static int accept(cursor *c, char wanted)
{
    skip_space(c);
    if (c->p == c->end || *c->p != wanted)
        return 0;
    c->p++;
    return 1;
}

static int accept_word(cursor *c, const char *word)
{
    const size_t n = strlen(word);
    skip_space(c);
    if ((size_t)(c->end - c->p) < n || memcmp(c->p, word, n) != 0)
        return 0;
    c->p += n;
    return 1;
}

static int expect(cursor *c, char wanted, const char *where)
{
    return accept(c, wanted) || refuse(c, "header is not a .npy dict: expected '%c' %s", wanted, where);
}

/* A short quoted string of printable characters. */
static int read_string(cursor *c, char *out, size_t size)
{
    size_t n = 0;
    skip_space(c);
    if (c->p == c->end || (*c->p != '\'' && *c->p != '"'))
        return 0;
    const char quote = *c->p++;
    for (; c->p < c->end && *c->p != quote; c->p++) {
        if (!isprint((unsigned char)*c->p) || *c->p == '\\' || n + 1 >= size)
            return 0;
        out[n++] = *c->p;
    }
    out[n] = '\0';
    return c->p < c->end && *c->p++ == quote;
}

static int read_size(cursor *c, int64_t *out)
{
    int64_t n = 0;
    skip_space(c);
    if (c->p == c->end || !isdigit((unsigned char)*c->p))
        return refuse(c, "shape holds something that is not a number, expected sizes such as (1000, 10)");
    for (; c->p < c->end && isdigit((unsigned char)*c->p); c->p++)
        if (!dal_size_mul(n, 10, &n) || n > INT64_MAX - (*c->p - '0'))
            return refuse(c, "shape holds a size that does not fit 64 bits");
        else
            n += *c->p - '0';
    if (c->p < c->end && *c->p == 'L') /* Python 2 */
        c->p++;
    *out = n;
    return 1;
}

static int read_shape(cursor *c, npy_header *head)
{
    if (!expect(c, '(', "before the shape"))
        return 0;
    for (head->ndim = 0; !accept(c, ')'); head->ndim++) {
        if (head->ndim == DAL_NPY_MAX_DIMS)
            return refuse(c, "has more than %d dimensions, expected 1 to %d", DAL_NPY_MAX_DIMS,
                          DAL_NPY_MAX_DIMS);
        if (!read_size(c, &head->shape[head->ndim]))
            return 0;
        if (!accept(c, ',')) {
            head->ndim++;
            if (!expect(c, ')', "after the shape"))
                return 0;
            break;
        }
    }
    return head->ndim > 0 || refuse(c, "holds a single number, expected 1 to %d dimensions", DAL_NPY_MAX_DIMS);
}

static int read_order(cursor *c, npy_header *head)
{
    head->fortran = accept_word(c, "True");
    return head->fortran || accept_word(c, "False") ||
           refuse(c, "fortran_order is neither True nor False");
}

static const struct {
    char name[4];
    uint32_t type;
    int64_t bytes;
} element_types[] = {{"f2", DAL_NPY_F16, 2}, {"f4", DAL_NPY_F32, 4}, {"f8", DAL_NPY_F64, 8},
                     {"i1", DAL_NPY_I8, 1},  {"i2", DAL_NPY_I16, 2}, {"i4", DAL_NPY_I32, 4},
                     {"i8", DAL_NPY_I64, 8}, {"u1", DAL_NPY_U8, 1},  {"u2", DAL_NPY_U16, 2},
                     {"u4", DAL_NPY_U32, 4}, {"u8", DAL_NPY_U64, 8}, {"b1", DAL_NPY_BOOL, 1}};

static int read_type(cursor *c, npy_header *head)
{
    static const char order_here = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? '<' : '>';
    char descr[32];
    if (accept(c, '['))
        return refuse(c, "holds records, expected plain numbers (f2 f4 f8, i1..i8, u1..u8, bool)");
    if (!read_string(c, descr, sizeof descr))
        return refuse(c, "descr is not a short string such as '<f4'");
    for (size_t i = 0; i < sizeof element_types / sizeof *element_types; i++) {
        if (descr[0] == '\0' || strcmp(descr + 1, element_types[i].name) != 0)
            continue;
        head->type = element_types[i].type;
        head->item_bytes = element_types[i].bytes;
        head->swapped = head->item_bytes > 1 && descr[0] != order_here;
        if (descr[0] == '<' || descr[0] == '>' || (descr[0] == '|' && head->item_bytes == 1))
            return 1;
    }
    return refuse(c, "element type '%s' found, expected numbers (f2 f4 f8, i1..i8, u1..u8, bool)", descr);
}

static int read_dict(cursor *c, npy_header *head)
{
    static const char *const keys[] = {"descr", "fortran_order", "shape"};
    static int (*const readers[])(cursor *, npy_header *) = {read_type, read_order, read_shape};
    int seen[3] = {0};
    char key[32];
    if (!expect(c, '{', "at its start"))
        return 0;
    while (!accept(c, '}')) {
        int k = 0;
        if (!read_string(c, key, sizeof key))
            return refuse(c, "header is not a .npy dict: expected a quoted key");
        while (k < 3 && strcmp(key, keys[k]) != 0)
            k++;
        if (k == 3 || seen[k]++)
            return refuse(c, "header has %s key '%s', expected descr, fortran_order and shape once each",
                          k == 3 ? "an unknown" : "a second", key);
        if (!expect(c, ':', "after a key") || !readers[k](c, head))
            return 0;
        if (accept(c, ','))
            continue;
        if (!expect(c, '}', "or ',' after a value"))
            return 0;
        break;
    }
    for (int k = 0; k < 3; k++)
        if (!seen[k])
            return refuse(c, "header lacks '%s'", keys[k]);
    skip_space(c);
    return c->p == c->end || refuse(c, "header goes on after its dict");
}

int npy_parse_header(const unsigned char *file, size_t bytes, npy_header *head, char *problem,
                     size_t problem_size)
{
    cursor c = {.problem = problem, .problem_size = problem_size};
    *head = (npy_header){0};
    if (bytes < 6 || memcmp(file, "\x93NUMPY", 6) != 0)
        return refuse(&c, "is not a .npy file: it does not begin with \\x93NUMPY");
    if (bytes < 10)
        return refuse(&c, "is cut short within its header (%zu bytes)", bytes);
    if (file[6] < 1 || file[6] > 3 || file[7] != 0)
        return refuse(&c, "is of .npy version %d.%d, expected 1.0, 2.0 or 3.0", file[6], file[7]);
    const size_t start = file[6] == 1 ? 10 : 12;
    if (bytes < start)
        return refuse(&c, "is cut short within its header (%zu bytes)", bytes);
    size_t length = (size_t)file[8] | (size_t)file[9] << 8;
    if (start == 12)
        length |= (size_t)file[10] << 16 | (size_t)file[11] << 24;
    if (length > MAX_HEADER_BYTES)
        return refuse(&c, "header of %zu bytes, expected at most %d", length, MAX_HEADER_BYTES);
    if (length > bytes - start)
        return refuse(&c, "is cut short within its header (%zu of %zu bytes)", bytes, start + length);
    head->data_offset = (int64_t)(start + length);
    c.p = (const char *)file + start;
    c.end = c.p + length;
    return read_dict(&c, head);
}
