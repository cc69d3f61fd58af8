/* row_heap.h: (libdal, private) rows in a heap, the largest key first, of equal keys the lowest row.
 *
 * Included once by a file that says the type of a key: #define HEAP_KEY float. Keys of rows in the heap may fall only
 * while they are at its top, or outside.
 */
#ifndef DAL_LIB_ROW_HEAP_H
#define DAL_LIB_ROW_HEAP_H

#include <stdint.h>

typedef struct row_heap {
    int64_t *row; /* [n] */
    int64_t n;
    HEAP_KEY *key; /* by row; the includer's */
} row_heap;

static int heap_before(const row_heap *h, int64_t a, int64_t b)
{
    return h->key[a] > h->key[b] || (!(h->key[a] < h->key[b]) && a < b);
}

/* Row number `at` goes down to its place. */
static void heap_sink(row_heap *h, int64_t at)
{
    const int64_t row = h->row[at];
    for (int64_t child = 2 * at + 1; child < h->n; at = child, child = 2 * at + 1) {
        if (child + 1 < h->n && heap_before(h, h->row[child + 1], h->row[child]))
            child++;
        if (!heap_before(h, h->row[child], row))
            break;
        h->row[at] = h->row[child];
    }
    h->row[at] = row;
}

/* Any rows become a heap. */
static void heap_order(row_heap *h)
{
    for (int64_t i = h->n / 2; i-- > 0;)
        heap_sink(h, i);
}

static void heap_push(row_heap *h, int64_t row)
{
    int64_t at = h->n++;
    for (; at > 0 && heap_before(h, row, h->row[(at - 1) / 2]); at = (at - 1) / 2)
        h->row[at] = h->row[(at - 1) / 2];
    h->row[at] = row;
}

static int64_t heap_pop(row_heap *h)
{
    const int64_t row = h->row[0];
    h->row[0] = h->row[--h->n];
    if (h->n > 0)
        heap_sink(h, 0);
    return row;
}

#endif
