/* Loading a module, once and for good. */
#include <dlfcn.h>
#include <ltdl.h>
#include <stdlib.h>

#include "registry/blame.h"
#include "registry/private.h"
#include "util/text.h"

/* libltdl is started once and never ended: modules stay mapped (threads, thread-locals and stack traces may
 * still lead into them). */
static bool start_libltdl(dal_error *err)
{
    static bool started;
    if (!started && lt_dlinit() != 0) {
        dal_fail(err, DAL_E_FAILED, "", "libltdl does not start: %s", lt_dlerror());
        return false;
    }
    return started = true;
}

/* The file that was read must be the file that is loaded. */
static dal_status check_unchanged(const module *m, dal_error *err)
{
    struct stat now;
    if (stat(m->path, &now) != 0 || now.st_dev != m->seen.st_dev || now.st_ino != m->seen.st_ino ||
        now.st_size != m->seen.st_size || now.st_mtim.tv_sec != m->seen.st_mtim.tv_sec ||
        now.st_mtim.tv_nsec != m->seen.st_mtim.tv_nsec)
        return dal_fail(err, DAL_E_IO, "", "%s: changed while dalhost was starting; start it again", m->path);
    return DAL_OK;
}

static lt_dlhandle open_handle(const char *path)
{
    lt_dladvise advise;
    lt_dlhandle h = NULL;
    if (lt_dladvise_init(&advise) == 0) {
        if (lt_dladvise_local(&advise) == 0 && lt_dladvise_resident(&advise) == 0)
            h = lt_dlopenadvise(path, advise);
        lt_dladvise_destroy(&advise);
    }
    return h;
}

/* libltdl binds lazily and may call any failure "file not found": let the system loader bind everything
 * first, and keep its words. */
static dal_status open_module(const module *m, lt_dlhandle *h, dal_error *err)
{
    const bool built_in = strcmp(m->path, BUILT_IN) == 0;
    if (!built_in) {
        const dal_status st = check_unchanged(m, err);
        if (st)
            return st;
        if (!dlopen(m->path, RTLD_NOW | RTLD_LOCAL)) {
            const char *reason = dlerror();
            const size_t n = strlen(m->path);
            if (reason && strncmp(reason, m->path, n) == 0 && strncmp(reason + n, ": ", 2) == 0)
                reason += n + 2;
            return dal_fail(err, DAL_E_FAILED, "", "%s: the system loader refuses it: %s", m->path,
                            reason ? reason : "no reason given");
        }
    }
    char *archive = xasprintf("%s.a", m->name); /* what libtool preloads it as */
    *h = open_handle(built_in ? archive : m->path);
    free(archive);
    if (!*h)
        return dal_fail(err, DAL_E_FAILED, "", "%s: %s", m->path, lt_dlerror());
    return DAL_OK;
}

const dal_plugin *registry_open(registry *r, const module_desc *d, dal_error *err)
{
    (void)r;
    module *m = module_of(d);
    lt_dlhandle h = NULL;
    if (m->live)
        return m->live;
    if (d->state == MODULE_REFUSED) {
        dal_fail(err, DAL_E_INVALID, "", "%s: refused: %s", d->path, d->why);
        return NULL;
    }
    if (!start_libltdl(err))
        return NULL;
    blame_push(NULL, NULL, m->name, m->path, "loading");
    const dal_status st = open_module(m, &h, err);
    const dal_plugin *p = st ? NULL : lt_dlsym(h, "dal_plugin");
    blame_pop();
    if (st)
        return NULL;
    if (!p) {
        dal_fail(err, DAL_E_CONTRACT, "", "%s: there is no symbol %s_LTX_dal_plugin; end its source with DAL_MODULE",
                 m->path, m->name);
        return NULL;
    }
    if (live_check(m, p, err))
        return NULL;
    m->live = p;
    return p;
}

/* Run init once; what came of it stays. */
static dal_status start(registry *r, module *m, const dal_host *host, dal_error *err)
{
    if (!m->started) {
        m->started = true;
        m->failed = (dal_error)DAL_ERROR_INIT;
        if (DAL_HAS(dal_plugin, m->live, init)) {
            dal_error said = DAL_ERROR_INIT;
            blame_push(NULL, NULL, m->name, m->path, "init");
            const dal_status st = m->live->init(host, &said);
            blame_pop();
            if (st)
                dal_fail(&m->failed, st, "", "%s: init failed (status %d)%s%.900s", m->path, (int)st,
                         *said.text ? ": " : "", said.text);
        }
        if (m->failed.status == DAL_OK) {
            r->started = xrealloc(r->started, (size_t)(r->n_started + 1) * sizeof(module *));
            r->started[r->n_started++] = m;
        }
    }
    if (m->failed.status)
        dal_fail(err, m->failed.status, "", "%s", m->failed.text);
    return m->failed.status;
}

const dal_component *registry_load(registry *r, const component_desc *c, const dal_host *host, dal_error *err)
{
    module *m = module_of(c->module);
    if (!registry_open(r, c->module, err) || start(r, m, host, err))
        return NULL;
    return live_component(m->live, c);
}
