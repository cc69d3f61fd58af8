/* Opening the component under test, and telling whether it gives back what it takes. */
#include <stdlib.h>

#include "check/suite.h"
#include "util/text.h"

/* ---- specifications ---- */

static char *all_messages(diags *d)
{
    text t = {0};
    for (int i = 0; diags_text(d, i); i++)
        text_addf(&t, "%s%s", i ? "; " : "", diags_text(d, i));
    return text_take(&t);
}

/* k=v of --set that this component has; a module's other components have others. */
static bool concerns(const component_desc *c, const char *set)
{
    const size_t n = strcspn(set, "=.");
    for (int i = 0; i < c->n_params; i++)
        if (strlen(c->params[i].name) == n && strncmp(c->params[i].name, set, n) == 0)
            return true;
    return false;
}

component_spec *rig_spec(const subject *s, const char *const *more, int n, char **why)
{
    const char **sets = xcalloc((size_t)(s->n_sets + n), sizeof *sets);
    int k = 0;
    for (int i = 0; i < s->n_sets; i++)
        if (concerns(s->component, s->sets[i]))
            sets[k++] = s->sets[i];
    for (int i = 0; i < n; i++)
        sets[k++] = more[i];
    diags *d = diags_new();
    component_spec *spec = spec_from_sets(s->component->kind, s->component->id, sets, k, s->r, d);
    *why = spec ? NULL : all_messages(d);
    diags_free(d);
    free((void *)(uintptr_t)sets);
    return spec;
}

static bool given(const subject *s, const char *name)
{
    const size_t n = strlen(name);
    for (int i = 0; i < s->n_sets; i++)
        if (strncmp(s->sets[i], name, n) == 0 && s->sets[i][n] == '=')
            return true;
    return false;
}

static void skip_unless_given(const subject *s)
{
    text missing = {0};
    for (int i = 0; i < s->component->n_params; i++) {
        const param_desc *p = &s->component->params[i];
        if (strcmp(p->def, DAL_REQUIRED) == 0 && !given(s, p->name))
            text_addf(&missing, " --set %s=...", p->name);
    }
    if (missing.n)
        check_skip("has required parameters: give%s", missing.s);
}

/* ---- the rig ---- */

static int32_t cancelled(void *ctx)
{
    rig *r = ctx;
    if (r->cancel_after <= 0)
        return 0;
    const int64_t left = __atomic_sub_fetch(&r->cancel_after, 1, __ATOMIC_RELAXED);
    if (left > 0)
        return 0;
    __atomic_store_n(&r->cancel_after, 1, __ATOMIC_RELAXED); /* and so it stays */
    return 1;
}

/* The module is loaded, and its init run, on a runtime that outlives all rigs of this process. */
static void load_module(const subject *s)
{
    static composer *home;
    dal_error err = DAL_ERROR_INIT;
    if (home)
        return;
    CHECK(composer_new(s->r, 1, s->seed, NULL, &home, &err) == DAL_OK, "no runtime: %s", err.text);
    CHECK(registry_load(s->r, s->component, composer_host(home, s->component->id), &err), "%s", err.text);
}

rig *rig_new(const subject *s, const rig_options *o)
{
    skip_unless_given(s);
    load_module(s);
    rig *r = xcalloc(1, sizeof *r);
    dal_error err = DAL_ERROR_INIT;
    char *why;
    r->s = s;
    r->cancel_after = o->cancel_after;
    r->spec = rig_spec(s, NULL, 0, &why);
    CHECK(r->spec, "the host refuses its parameters: %s", why);
    const composer_events events = {.ctx = r, .cancelled = cancelled, .fail_alloc = o->fail_alloc};
    const dal_status st = composer_new(s->r, o->threads ? o->threads : 1, o->seed ? o->seed : s->seed, &events,
                                       &r->c, &err);
    CHECK(st == DAL_OK, "no runtime: %s", err.text);
    r->base = dal_runtime_allocated(composer_runtime(r->c));
    return r;
}

void rig_free(rig *r)
{
    spec_free(r->spec);
    composer_free(r->c);
    free(r);
}

const dal_host *rig_host(const rig *r)
{
    return composer_host(r->c, r->s->component->id);
}

void rig_check_error(dal_status st, const dal_error *err, const char *slot)
{
    if (st == DAL_OK)
        return;
    CHECK(st < 0 && st >= DAL_E_PENDING, "%s returns the unknown status %d", slot, (int)st);
    CHECK(st == DAL_E_CANCELLED || st == DAL_E_NOMEM || *err->text, "%s fails (status %d) without saying why", slot,
          (int)st);
}

dal_status rig_try(rig *r, const void *arg, const dal_instance **out, dal_error *err)
{
    *err = (dal_error)DAL_ERROR_INIT;
    return composer_open(r->c, r->spec, arg, out, err);
}

const dal_instance *rig_open(rig *r, const void *arg)
{
    const dal_instance *i = NULL;
    dal_error err;
    const dal_status st = rig_try(r, arg, &i, &err);
    CHECK(st == DAL_OK, "create fails: %s%s%s", err.key, *err.key ? ": " : "", err.text);
    return i;
}

void rig_close(rig *r, const dal_instance *i)
{
    composer_close(r->c, i);
}

void rig_check_memory(const rig *r, const char *when)
{
    const int64_t left = dal_runtime_allocated(composer_runtime(r->c)) - r->base;
    CHECK(left == 0, "%lld bytes of host->alloc are not given back %s", (long long)left, when);
}

/* ---- streams ---- */

static dal_status write_bytes(const dal_writer *w, const void *data, size_t n, dal_error *err)
{
    bytes *b = w->impl;
    (void)err;
    b->data = xrealloc(b->data, b->n + n);
    if (n)
        memcpy(b->data + b->n, data, n);
    b->n += n;
    return DAL_OK;
}

static dal_status read_bytes(const dal_reader *r, void *data, size_t n, size_t *got, dal_error *err)
{
    bytes *b = r->impl;
    (void)err;
    *got = b->n - b->at < n ? b->n - b->at : n;
    if (*got)
        memcpy(data, b->data + b->at, *got);
    b->at += *got;
    return DAL_OK;
}

dal_writer bytes_writer(bytes *b)
{
    return (dal_writer){.struct_size = sizeof(dal_writer), .impl = b, .write = write_bytes};
}

dal_reader bytes_reader(bytes *b)
{
    b->at = 0;
    return (dal_reader){.struct_size = sizeof(dal_reader), .impl = b, .read = read_bytes};
}

/* ---- guards ---- */

#define GUARD 64u
#define PATTERN 0xa5

void *guard_new(size_t n)
{
    unsigned char *p = xcalloc(1, n + 3 * GUARD);
    memcpy(p, &n, sizeof n);
    memset(p + GUARD, PATTERN, GUARD);
    memset(p + 2 * GUARD + n, PATTERN, GUARD);
    return p + 2 * GUARD;
}

void guard_check(const void *buffer, const char *slot)
{
    const unsigned char *p = (const unsigned char *)buffer - 2 * GUARD;
    size_t n;
    memcpy(&n, p, sizeof n);
    for (size_t i = 0; i < GUARD; i++) {
        CHECK(p[GUARD + i] == PATTERN, "%s writes before its buffer", slot);
        CHECK(p[2 * GUARD + n + i] == PATTERN, "%s writes behind its buffer of %zu bytes", slot, n);
    }
}

void guard_free(void *buffer)
{
    if (buffer)
        free((unsigned char *)buffer - 2 * GUARD);
}
