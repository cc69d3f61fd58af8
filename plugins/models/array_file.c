#include "array_file.h"

#include <dal/fit.h>

#include <math.h>

#define FORMAT_VERSION 1u
#define PIECE ((int64_t)1 << 20)

/* In the byte order of the machine (another order shows as an unknown version). */
typedef struct file_header {
    char magic[8];
    uint32_t version, n;
    uint64_t bytes[ARRAY_FILE_MOST];
    uint64_t checksum; /* of the arrays in turn */
} file_header;

dal_status arrays_save(const dal_writer *w, const char *magic, const saved_array *a, int n, dal_error *err)
{
    file_header h = {.version = FORMAT_VERSION, .n = (uint32_t)n};
    memcpy(h.magic, magic, sizeof h.magic);
    for (int i = 0; i < n; i++) {
        h.bytes[i] = (uint64_t)a[i].bytes;
        h.checksum = dal_hash64(h.checksum, a[i].data, (size_t)a[i].bytes);
    }
    dal_status st = w->write(w, &h, sizeof h, err);
    for (int i = 0; i < n && st == DAL_OK; i++)
        st = w->write(w, a[i].data, (size_t)a[i].bytes, err);
    return st;
}

/* Memory grows with what was really read. */
static dal_status read_array(const dal_host *host, const dal_reader *r, int64_t bytes, saved_array *a, dal_error *err)
{
    int64_t room = bytes < PIECE ? bytes : PIECE;
    char *data = dal_array(host, room, 1);
    dal_status st = data ? DAL_OK : DAL_E_NOMEM;
    for (int64_t done = 0; st == DAL_OK && done < bytes;) {
        if (done == room) {
            room = bytes - room < room ? bytes : 2 * room;
            char *more = dal_array(host, room, 1);
            if (more)
                memcpy(more, data, (size_t)done);
            host->free(host, data);
            data = more;
            st = more ? DAL_OK : DAL_E_NOMEM;
        } else {
            const int64_t n = room - done < PIECE ? room - done : PIECE;
            st = dal_read_saved(r, data + done, (size_t)n, "arrays", err);
            done += n;
        }
    }
    a->data = data;
    a->bytes = bytes;
    return st == DAL_E_NOMEM ? dal_fail(err, st, "", "no memory for a saved model of %lld bytes", (long long)bytes)
        : st;
}

dal_status arrays_load(const dal_host *host, const dal_reader *r, const char *id, const char *magic, saved_array *a,
                       int n, dal_error *err)
{
    file_header h;
    uint64_t sum = 0;
    for (int i = 0; i < n; i++)
        a[i] = (saved_array){0};
    dal_status st = dal_read_saved(r, &h, sizeof h, "header", err);
    if (st != DAL_OK)
        return st;
    if (memcmp(h.magic, magic, sizeof h.magic) != 0)
        return dal_fail(err, DAL_E_FORMAT, "", "these bytes are no saved %s: they do not begin with %.8s", id, magic);
    if (h.version != FORMAT_VERSION || h.n != (uint32_t)n)
        return dal_fail(err, DAL_E_FORMAT, "", "a saved %s of format version %u with %u arrays; expected %u with %d",
                        id, (unsigned)h.version, (unsigned)h.n, FORMAT_VERSION, n);
    for (int i = 0; i < ARRAY_FILE_MOST && st == DAL_OK; i++) {
        if (h.bytes[i] > (i < n ? (uint64_t)1 << 46 : 0))
            return dal_fail(err, DAL_E_FORMAT, "", "a saved %s with an array of %llu bytes is damaged", id,
                            (unsigned long long)h.bytes[i]);
        if (i < n)
            st = read_array(host, r, (int64_t)h.bytes[i], &a[i], err);
        if (st == DAL_OK && i < n)
            sum = dal_hash64(sum, a[i].data, (size_t)a[i].bytes);
    }
    if (st == DAL_OK && sum != h.checksum)
        st = dal_fail(err, DAL_E_FORMAT, "", "a saved %s is damaged: its checksum does not fit", id);
    return st;
}

void arrays_free(const dal_host *host, saved_array *a, int n)
{
    for (int i = 0; i < n; i++) {
        host->free(host, a[i].data);
        a[i] = (saved_array){0};
    }
}

dal_status arrays_finite(const char *id, const float *x, int64_t n, dal_error *err)
{
    for (int64_t i = 0; i < n; i++)
        if (!isfinite(x[i]))
            return dal_fail(err, DAL_E_FORMAT, "", "a saved %s has %g for number %lld", id, (double)x[i], (long long)i);
    return DAL_OK;
}
