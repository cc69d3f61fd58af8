#include "token_table.h"

#define MAX_ROWS ((int64_t)1 << 30)

/* Where token is, or would be. There is always a free slot. */
static int64_t place(const token_table *t, uint64_t token)
{
    int64_t i = (int64_t)(token & (uint64_t)(t->slots - 1));
    while (t->slot[i] != 0 && t->token[t->slot[i] - 1] != token)
        i = (i + 1) & (t->slots - 1);
    return i;
}

int64_t token_find(const token_table *t, uint64_t token)
{
    return t->slots > 0 ? t->slot[place(t, token)] - 1 : -1;
}

/* Slots for `rows` rows, at most half of them taken. */
static dal_status rehash(token_table *t, int64_t rows)
{
    int64_t slots = 1024;
    while (slots < 2 * rows)
        slots *= 2;
    int32_t *slot = dal_array(t->host, slots, sizeof *slot);
    if (!slot)
        return DAL_E_NOMEM;
    memset(slot, 0, (size_t)slots * sizeof *slot);
    t->host->free(t->host, t->slot);
    t->slot = slot;
    t->slots = slots;
    for (int64_t i = 0; i < t->n; i++)
        t->slot[place(t, t->token[i])] = (int32_t)i + 1;
    return DAL_OK;
}

static dal_status grow(token_table *t)
{
    const int64_t room = t->room ? 2 * t->room : 512;
    uint64_t *token = dal_array(t->host, room, sizeof *token);
    int64_t *count = dal_array(t->host, room, sizeof *count);
    if (!token || !count || room > MAX_ROWS) {
        t->host->free(t->host, token);
        t->host->free(t->host, count);
        return DAL_E_NOMEM;
    }
    if (t->n > 0) {
        memcpy(token, t->token, (size_t)t->n * sizeof *token);
        memcpy(count, t->count, (size_t)t->n * sizeof *count);
    }
    t->host->free(t->host, t->token);
    t->host->free(t->host, t->count);
    t->token = token;
    t->count = count;
    t->room = room;
    return rehash(t, room);
}

int64_t token_add(token_table *t, uint64_t token)
{
    if (t->n == t->room && grow(t) != DAL_OK)
        return -1;
    const int64_t at = place(t, token);
    if (t->slot[at] == 0) {
        t->token[t->n] = token;
        t->count[t->n] = 0;
        t->slot[at] = (int32_t)++t->n;
    }
    t->count[t->slot[at] - 1]++;
    return t->slot[at] - 1;
}

dal_status token_keep(token_table *t, int64_t least)
{
    int64_t kept = 0;
    for (int64_t i = 0; i < t->n; i++)
        if (t->count[i] >= least) {
            t->token[kept] = t->token[i];
            t->count[kept++] = t->count[i];
        }
    const int changed = kept < t->n;
    t->n = kept;
    return changed ? rehash(t, t->room) : DAL_OK;
}

void token_free(token_table *t)
{
    t->host->free(t->host, t->token);
    t->host->free(t->host, t->count);
    t->host->free(t->host, t->slot);
    *t = (token_table){.host = t->host};
}
