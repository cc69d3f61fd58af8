/* A zip archive of stored members: local header, .npy header, data; sizes are known beforehand, the checksum is put
 * into the header afterwards. Zip64 records where 32 bits do not suffice. */
#include "dataset/npz_writer.h"

#include <errno.h>
#include <stdlib.h>
#include <zlib.h>

#include "util/text.h"

#define LOCAL 0x04034b50u
#define CENTRAL 0x02014b50u
#define END 0x06054b50u
#define END64 0x06064b50u
#define LOCATOR64 0x07064b50u
#define LARGE ((int64_t)UINT32_MAX)

typedef struct member {
    char *name;
    int64_t at, size; /* of its local header; of the content */
    uint32_t crc;
} member;

struct npz_writer {
    FILE *out;
    const char *path;
    member *members; /* [n], the last one perhaps open */
    int n;
    int64_t left; /* bytes that the open one lacks */
};

/* Little-endian fields of one record. */
typedef struct record {
    unsigned char data[256];
    size_t n;
} record;

static void u16(record *r, unsigned x)
{
    r->data[r->n++] = (unsigned char)x;
    r->data[r->n++] = (unsigned char)(x >> 8);
}

static void u32(record *r, uint32_t x)
{
    u16(r, x & 0xffff);
    u16(r, x >> 16);
}

static void u64(record *r, int64_t x)
{
    u32(r, (uint32_t)((uint64_t)x & 0xffffffff));
    u32(r, (uint32_t)((uint64_t)x >> 32));
}

static dal_status failed(const npz_writer *z, dal_error *err)
{
    return dal_fail(err, DAL_E_IO, "", "%s: cannot be written: %s", z->path, strerror(errno));
}

static dal_status put(const npz_writer *z, const void *data, size_t n, dal_error *err)
{
    return fwrite(data, 1, n, z->out) == n ? DAL_OK : failed(z, err);
}

static uint32_t narrow(int64_t x)
{
    return x >= LARGE ? UINT32_MAX : (uint32_t)x;
}

npz_writer *npz_new(FILE *out, const char *path)
{
    npz_writer *z = xcalloc(1, sizeof *z);
    z->out = out;
    z->path = path;
    return z;
}

void npz_free(npz_writer *z)
{
    for (int i = 0; z && i < z->n; i++)
        free(z->members[i].name);
    if (z)
        free(z->members);
    free(z);
}

static dal_status put_local(const npz_writer *z, const member *m, dal_error *err)
{
    record r = {.n = 0};
    const bool large = m->size >= LARGE;
    u32(&r, LOCAL);
    u16(&r, large ? 45 : 20);
    u16(&r, 0);
    u16(&r, 0); /* stored */
    u16(&r, 0);
    u16(&r, 0x21); /* 1980-01-01: the same dataset is the same file */
    u32(&r, m->crc);
    u32(&r, narrow(m->size));
    u32(&r, narrow(m->size));
    u16(&r, (unsigned)strlen(m->name));
    u16(&r, large ? 20 : 0);
    memcpy(r.data + r.n, m->name, strlen(m->name));
    r.n += strlen(m->name);
    if (large) {
        u16(&r, 1);
        u16(&r, 16);
        u64(&r, m->size);
        u64(&r, m->size);
    }
    return put(z, r.data, r.n, err);
}

dal_status npz_begin(npz_writer *z, const char *name, const char *type, int64_t item, const int64_t *shape, int ndim,
                     dal_error *err)
{
    enum { HEAD = 128 };
    char head[HEAD], sizes[128] = "";
    int64_t bytes = item;
    size_t used = 0;
    for (int i = 0; i < ndim; i++) {
        used += (size_t)snprintf(sizes + used, sizeof sizes - used, "%lld,%s", (long long)shape[i],
                                 i + 1 < ndim ? " " : "");
        if (!dal_size_mul(bytes, shape[i], &bytes))
            return dal_fail(err, DAL_E_OVERFLOW, "", "%s: the array %s is too large", z->path, name);
    }
    memset(head, ' ', HEAD);
    memcpy(head, "\x93NUMPY\x01\x00\x76\x00", 10); /* 0x76: 118 bytes follow */
    const int n = snprintf(head + 10, HEAD - 10, "{'descr': '%s', 'fortran_order': False, 'shape': (%s), }", type,
                           sizes);
    if (n < 0 || n >= HEAD - 11)
        return dal_fail(err, DAL_E_OVERFLOW, "", "%s: the array %s has too large a shape", z->path, name);
    head[10 + n] = ' ';
    head[HEAD - 1] = '\n';
    z->members = xrealloc(z->members, (size_t)(z->n + 1) * sizeof *z->members);
    member *m = &z->members[z->n++];
    *m = (member){xasprintf("%.60s.npy", name), ftello(z->out), bytes + HEAD, 0};
    z->left = m->size;
    const dal_status st = put_local(z, m, err);
    return st == DAL_OK ? npz_put(z, head, HEAD, err) : st;
}

dal_status npz_put(npz_writer *z, const void *data, size_t n, dal_error *err)
{
    member *m = &z->members[z->n - 1];
    const unsigned char *p = data;
    if ((int64_t)n > z->left)
        return dal_fail(err, DAL_E_CONTRACT, "", "%s: more values than the array %s has", z->path, m->name);
    z->left -= (int64_t)n;
    for (size_t done = 0; done < n;) {
        const uInt part = n - done > 1u << 30 ? 1u << 30 : (uInt)(n - done);
        m->crc = (uint32_t)crc32(m->crc, p + done, part);
        done += part;
    }
    return put(z, data, n, err);
}

dal_status npz_end(npz_writer *z, dal_error *err)
{
    const member *m = &z->members[z->n - 1];
    if (z->left != 0)
        return dal_fail(err, DAL_E_CONTRACT, "", "%s: fewer values than the array %s has", z->path, m->name);
    if (fseeko(z->out, m->at, SEEK_SET) != 0)
        return failed(z, err);
    const dal_status st = put_local(z, m, err);
    return st == DAL_OK && fseeko(z->out, 0, SEEK_END) != 0 ? failed(z, err) : st;
}

static dal_status put_central(const npz_writer *z, const member *m, dal_error *err)
{
    record r = {.n = 0};
    const bool large = m->size >= LARGE, far = m->at >= LARGE;
    const unsigned extra = (large ? 16u : 0u) + (far ? 8u : 0u);
    u32(&r, CENTRAL);
    u16(&r, large || far ? 45 : 20);
    u16(&r, large || far ? 45 : 20);
    u16(&r, 0);
    u16(&r, 0);
    u16(&r, 0);
    u16(&r, 0x21);
    u32(&r, m->crc);
    u32(&r, narrow(m->size));
    u32(&r, narrow(m->size));
    u16(&r, (unsigned)strlen(m->name));
    u16(&r, extra ? extra + 4 : 0);
    u16(&r, 0);
    u16(&r, 0);
    u16(&r, 0);
    u32(&r, 0);
    u32(&r, narrow(m->at));
    memcpy(r.data + r.n, m->name, strlen(m->name));
    r.n += strlen(m->name);
    if (extra) {
        u16(&r, 1);
        u16(&r, extra);
    }
    if (large) {
        u64(&r, m->size);
        u64(&r, m->size);
    }
    if (far)
        u64(&r, m->at);
    return put(z, r.data, r.n, err);
}

dal_status npz_finish(npz_writer *z, dal_error *err)
{
    dal_status st = DAL_OK;
    const int64_t at = ftello(z->out);
    for (int i = 0; st == DAL_OK && i < z->n; i++)
        st = put_central(z, &z->members[i], err);
    const int64_t end = ftello(z->out);
    record r = {.n = 0};
    if (at >= LARGE) {
        u32(&r, END64);
        u64(&r, 44);
        u16(&r, 45);
        u16(&r, 45);
        u32(&r, 0);
        u32(&r, 0);
        u64(&r, z->n);
        u64(&r, z->n);
        u64(&r, end - at);
        u64(&r, at);
        u32(&r, LOCATOR64);
        u32(&r, 0);
        u64(&r, end);
        u32(&r, 1);
    }
    u32(&r, END);
    u16(&r, 0);
    u16(&r, 0);
    u16(&r, (unsigned)z->n);
    u16(&r, (unsigned)z->n);
    u32(&r, narrow(end - at));
    u32(&r, narrow(at));
    u16(&r, 0);
    return st == DAL_OK ? put(z, r.data, r.n, err) : st;
}
