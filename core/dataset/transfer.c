#include "dataset/transfer.h"

#ifndef HAVE_CURL

const char *fetch_unavailable(void)
{
    return "this dalhost was built without libcurl; install it (Debian: libcurl4-openssl-dev), configure and build "
           "again, or fetch the files by hand: dalhost dataset list --json tells addresses and places";
}

dal_status transfer(const fetch_job *job, int fd, const char *path, int64_t *have, bool *again, dal_error *err)
{
    (void)job, (void)fd, (void)path, (void)have, (void)again;
    return dal_fail(err, DAL_E_UNSUPPORTED, "", "%s", fetch_unavailable());
}

#else

#define CURL_DISABLE_TYPECHECK
#include <curl/curl.h>
#include <dlfcn.h>
#include <errno.h>
#include <strings.h>
#include <unistd.h>

#include "util/text.h"

#undef curl_easy_setopt
#undef curl_easy_getinfo

/* ---- the library ---- */

static struct {
    CURLcode (*global_init)(long flags);
    CURL *(*init)(void);
    CURLcode (*setopt)(CURL *h, CURLoption o, ...);
    CURLcode (*perform)(CURL *h);
    CURLcode (*getinfo)(CURL *h, CURLINFO i, ...);
    void (*cleanup)(CURL *h);
    const char *(*strerror)(CURLcode c);
} curl;

static bool find(void *lib, const char *name, void *slot)
{
    void *f = dlsym(lib, name);
    memcpy(slot, &f, sizeof f); /* POSIX promises that a function pointer fits */
    return f != NULL;
}

const char *fetch_unavailable(void)
{
    static const char *const names[] = {"libcurl.so.4", "libcurl-gnutls.so.4"};
    static bool ready;
    void *lib = NULL;
    for (int i = 0; !ready && !lib && i < 2; i++)
        lib = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
    if (!ready && !lib)
        return "libcurl cannot be loaded; install it (Debian: libcurl4), or fetch the files by hand: dalhost dataset "
               "list --json tells addresses and places";
    if (!ready)
        ready = find(lib, "curl_global_init", &curl.global_init) && find(lib, "curl_easy_init", &curl.init) &&
                find(lib, "curl_easy_setopt", &curl.setopt) && find(lib, "curl_easy_perform", &curl.perform) &&
                find(lib, "curl_easy_getinfo", &curl.getinfo) && find(lib, "curl_easy_cleanup", &curl.cleanup) &&
                find(lib, "curl_easy_strerror", &curl.strerror) && curl.global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
    return ready ? NULL : "libcurl is too old, or damaged";
}

/* ---- a transfer ---- */

typedef struct state {
    const fetch_job *job;
    CURL *h;
    int fd;
    int64_t *have, asked, total; /* asked: where the range begins; total: of the whole file, -1: not known */
    int64_t range_start;         /* what the server says, -1: it did not */
    bool begun, too_large, stopped, odd_range;
    int failed; /* errno of a write */
} state;

static int64_t most(const fetch_job *j)
{
    return j->size >= 0 ? j->size : j->limit;
}

/* The first bytes: is it the rest, as asked, or everything again? */
static bool begin(state *s)
{
    long code = 0;
    s->begun = true;
    curl.getinfo(s->h, CURLINFO_RESPONSE_CODE, &code);
    if (s->asked > 0 && code == 206 && s->range_start != s->asked) {
        s->odd_range = true;
        return false;
    }
    if (s->asked > 0 && code != 206) {
        if (ftruncate(s->fd, 0) != 0) {
            s->failed = errno;
            return false;
        }
        *s->have = 0;
    }
    return true;
}

static size_t take(char *data, size_t one, size_t n, void *ctx)
{
    state *s = ctx;
    (void)one; /* 1 */
    if (!s->begun && !begin(s))
        return 0;
    if ((int64_t)n > most(s->job) - *s->have) {
        s->too_large = true;
        return 0;
    }
    for (size_t done = 0; done < n;) {
        const ssize_t put = pwrite(s->fd, data + done, n - done, *s->have);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0) {
            s->failed = put < 0 ? errno : EIO;
            return 0;
        }
        done += (size_t)put;
        *s->have += put;
    }
    return n;
}

/* "Content-Range: bytes 5-9/10"; a redirect begins its headers anew. */
static size_t header(char *line, size_t one, size_t n, void *ctx)
{
    state *s = ctx;
    char copy[160];
    long long from, to, total;
    snprintf(copy, sizeof copy, "%.*s", (int)(n < sizeof copy - 1 ? n : sizeof copy - 1), line);
    if (strncasecmp(copy, "HTTP/", 5) == 0)
        s->range_start = -1;
    if (strncasecmp(copy, "Content-Range:", 14) == 0 &&
        sscanf(copy + 14, " bytes %lld-%lld/%lld", &from, &to, &total) >= 2)
        s->range_start = from;
    return one * n;
}

static int progress(void *ctx, curl_off_t total, curl_off_t now, curl_off_t up_total, curl_off_t up_now)
{
    state *s = ctx;
    (void)now, (void)up_total, (void)up_now;
    const int64_t all = s->job->size >= 0 ? s->job->size : total > 0 ? total + (*s->have - now) : 0;
    s->stopped = s->job->progress && s->job->progress(s->job->ctx, *s->have, all);
    return s->stopped;
}

static void set_up(state *s, const char *range)
{
    const bool https = strncmp(s->job->url, "https://", 8) == 0;
    curl.setopt(s->h, CURLOPT_URL, s->job->url);
    if (range)
        curl.setopt(s->h, CURLOPT_RANGE, range);
    curl.setopt(s->h, CURLOPT_WRITEFUNCTION, take);
    curl.setopt(s->h, CURLOPT_WRITEDATA, s);
    curl.setopt(s->h, CURLOPT_HEADERFUNCTION, header);
    curl.setopt(s->h, CURLOPT_HEADERDATA, s);
    curl.setopt(s->h, CURLOPT_XFERINFOFUNCTION, progress);
    curl.setopt(s->h, CURLOPT_XFERINFODATA, s);
    curl.setopt(s->h, CURLOPT_NOPROGRESS, 0L);
    curl.setopt(s->h, CURLOPT_NOSIGNAL, 1L);
    curl.setopt(s->h, CURLOPT_FAILONERROR, 1L);
    curl.setopt(s->h, CURLOPT_FOLLOWLOCATION, 1L);
    curl.setopt(s->h, CURLOPT_MAXREDIRS, 8L);
    curl.setopt(s->h, CURLOPT_CONNECTTIMEOUT, 30L);
    curl.setopt(s->h, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl.setopt(s->h, CURLOPT_LOW_SPEED_TIME, 60L);
    curl.setopt(s->h, CURLOPT_USERAGENT, "dalhost/" PACKAGE_VERSION);
#if LIBCURL_VERSION_NUM >= 0x075500
    curl.setopt(s->h, CURLOPT_PROTOCOLS_STR, "http,https");
    curl.setopt(s->h, CURLOPT_REDIR_PROTOCOLS_STR, https ? "https" : "http,https");
#else
    curl.setopt(s->h, CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
    curl.setopt(s->h, CURLOPT_REDIR_PROTOCOLS, (long)(https ? CURLPROTO_HTTPS : CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
}

/* Would the same again have a chance? */
static bool may_pass(CURLcode c, long http)
{
    switch (c) {
    case CURLE_HTTP_RETURNED_ERROR:
        return http >= 500 || http == 408 || http == 429;
    case CURLE_PARTIAL_FILE:
    case CURLE_OPERATION_TIMEDOUT:
    case CURLE_GOT_NOTHING:
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
    case CURLE_COULDNT_CONNECT:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
        return true;
    default:
        return false;
    }
}

static dal_status explain(const state *s, CURLcode c, const char *detail, const char *path, bool *again, dal_error *err)
{
    const char *url = s->job->url;
    char size[32];
    long http = 0;
    curl.getinfo(s->h, CURLINFO_RESPONSE_CODE, &http);
    if (s->stopped)
        return dal_fail(err, DAL_E_CANCELLED, "", "interrupted; what has come is kept, the same command goes on");
    if (s->failed)
        return dal_fail(err, DAL_E_IO, "",
                        "%s: cannot be written: %s; what has come is kept, the same command goes on", path,
                        strerror(s->failed));
    if (s->too_large)
        return dal_fail(err, DAL_E_OVERFLOW, "", "%s: more than %s come, %s", url,
                        human_bytes((double)most(s->job), size),
                        s->job->size >= 0
                        ? "the size that the card tells; the original has changed, or that is another file"
                                          : "the limit; a larger one can be set with --limit");
    *again = s->odd_range || may_pass(c, http);
    if (s->odd_range) /* then all of it */
        *s->have = 0;
    if (c == CURLE_HTTP_RETURNED_ERROR && http == 416 && s->asked > 0) {
        *s->have = 0; /* it has become shorter: from the beginning */
        *again = true;
    }
    if (c == CURLE_HTTP_RETURNED_ERROR)
        return dal_fail(err, DAL_E_IO, "", "%s: the server says %ld", url, http);
    if (c == CURLE_UNSUPPORTED_PROTOCOL)
        return dal_fail(err, DAL_E_IO, "", "%s: redirects to an address that is not %s; refused", url,
                        strncmp(url, "https://", 8) == 0 ? "https" : "http or https");
    return dal_fail(err, DAL_E_IO, "", "%s: %s%s", url, *detail ? detail : curl.strerror(c),
                    s->begun ? "; what has come is kept" : "");
}

dal_status transfer(const fetch_job *job, int fd, const char *path, int64_t *have, bool *again, dal_error *err)
{
    const char *why = fetch_unavailable();
    char detail[CURL_ERROR_SIZE] = "", range[32];
    if (why)
        return dal_fail(err, DAL_E_UNSUPPORTED, "", "%s", why);
    state s = {.job = job, .h = curl.init(), .fd = fd, .have = have, .asked = *have, .range_start = -1};
    if (!s.h)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for a transfer");
    snprintf(range, sizeof range, "%lld-", (long long)*have);
    set_up(&s, *have > 0 ? range : NULL);
    curl.setopt(s.h, CURLOPT_ERRORBUFFER, detail);
    const CURLcode c = curl.perform(s.h);
    dal_status st = DAL_OK;
    if (c != CURLE_OK)
        st = explain(&s, c, detail, path, again, err);
    else if (job->size >= 0 && *have < job->size) { /* a server that does not know that it was cut */
        *again = true;
        st = dal_fail(err, DAL_E_IO, "", "%s: %lld of %lld bytes came; what has come is kept", job->url,
                      (long long)*have, (long long)job->size);
    }
    if (*have < s.asked && ftruncate(fd, *have) != 0)
        st = dal_fail(err, DAL_E_IO, "", "%s: cannot be written: %s", path, strerror(errno));
    curl.cleanup(s.h);
    return st;
}

#endif
