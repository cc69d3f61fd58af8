#include "cli/runs_model.h"

#include <dal/runtime.h>
#include <dal/safetensors.h>
#include <dirent.h>
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "report/terminal.h"
#include "util/file.h"
#include "util/text.h"

static dal_status find_model(store *s, const stored_run *r, int64_t round, int64_t *found, void **data, size_t *n,
                             dal_error *err)
{
    dal_status st = DAL_E_NOT_FOUND;
    const int64_t first = round >= 0 ? round : 0;
    for (int64_t at = round >= 0 ? round : r->n_rounds - 1; at >= first && st == DAL_E_NOT_FOUND; at--) {
        *err = (dal_error)DAL_ERROR_INIT;
        *found = at;
        st = store_read_blob(s, r->head.id, at, "model", data, n, err);
    }
    if (st != DAL_E_NOT_FOUND)
        return st;
    char which[32] = "of any round";
    if (round >= 0)
        snprintf(which, sizeof which, "of round %lld", (long long)round);
    dal_fail(err, st, "store",
             "%s: run %lld keeps no model %s: record.models says whose to keep (none, last or all rounds)",
             store_path(s), (long long)r->head.id, which);
    return st;
}

dal_status read_model_file(store *s, const stored_run *r, int64_t round, void **data, size_t *n, dal_error *err)
{
    const dal_runtime_config config = {.struct_size = sizeof config, .threads = 1};
    dal_error why = DAL_ERROR_INIT;
    dal_safetensors *f = NULL;
    int64_t found = -1;
    dal_status st = find_model(s, r, round, &found, data, n, err);
    if (st != DAL_OK)
        return st;
    dal_runtime *rt = dal_runtime_new(&config, err);
    if (!rt)
        st = DAL_E_FAILED;
    else if (dal_safetensors_view(dal_runtime_host(rt, "export"), "it", "", *data, (int64_t)*n, &f, &why) != DAL_OK)
        st = dal_fail(err, DAL_E_UNSUPPORTED, "",
                      "the model of run %lld, round %lld, is kept in a form of its own, not as .safetensors, which "
                      "networks of layers are kept as (%s)", (long long)r->head.id, (long long)found, why.text);
    dal_safetensors_close(f);
    dal_runtime_free(rt);
    if (st != DAL_OK) {
        free(*data);
        *data = NULL;
    }
    return st;
}

/* ---- the model as a file, and files beside it --------------------------------------------------- */

/* A saved model apart: its header without the texts for others that it carries, these, and where its numbers begin. */
typedef struct parts {
    json_t *header, *beside; /* beside: an object of texts */
    json_t *elsewhere;       /* see DAL_ST_ELSEWHERE; NULL: it is whole */
    const void *data;
    size_t n;
    const char *numbers;
    size_t n_numbers;
} parts;

static bool is_file_name(const char *s)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    return *s && strchr(letters, *s) && strlen(s) <= 64 && strcmp(s, "model.safetensors") != 0 &&
           s[strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")] == '\0';
}

static dal_status take_elsewhere(parts *p, const json_t *value, dal_error *err)
{
    json_t *root = json_loads(json_string_value(value), 0, NULL);
    const char *file, *hash, *name;
    json_t *tensors, *there;
    bool good = json_unpack(root, "{s:s, s:s, s:o}", "file", &file, "hash", &hash, "tensors", &tensors) == 0 &&
                json_is_object(tensors) && *file == '/';
    if (good)
        json_object_foreach(tensors, name, there)
            good = good && json_is_string(there);
    if (good)
        p->elsewhere = root;
    else
        json_decref(root);
    return good ? DAL_OK
                : dal_fail(err, DAL_E_FORMAT, "",
                           "the model says that a part of it is elsewhere, but not where: expected the absolute path "
                           "of a file, its hash and names of tensors");
}

/* data: found good by dal_safetensors_view. */
static dal_status take_apart(const char *data, size_t n, parts *p, dal_error *err)
{
    uint64_t length = 0;
    for (int i = 0; i < 8; i++)
        length |= (uint64_t)(unsigned char)data[i] << 8 * i;
    *p = (parts){.header = json_loadb(data + 8, (size_t)length, 0, NULL), .beside = json_object(), .data = data, .n = n,
                 .numbers = data + 8 + length, .n_numbers = n - 8 - (size_t)length};
    json_t *metadata = json_object_get(p->header, "__metadata__"), *value;
    const char *key;
    void *next;
    const size_t prefix = strlen(DAL_ST_BESIDE);
    json_object_foreach_safe(metadata, next, key, value) {
        if (strncmp(key, DAL_ST_BESIDE, prefix) != 0)
            continue;
        if (!is_file_name(key + prefix)) {
            char *shown = text_shown(key + prefix, 60, false);
            dal_fail(err, DAL_E_FORMAT, "",
                     "the model carries a file '%s', which is no name of one; expected [A-Za-z0-9._-]+", shown);
            free(shown);
            return DAL_E_FORMAT;
        }
        json_object_set(p->beside, key + prefix, value);
        json_object_del(metadata, key);
    }
    json_t *elsewhere = json_object_get(metadata, DAL_ST_ELSEWHERE);
    const dal_status st = elsewhere ? take_elsewhere(p, elsewhere, err) : DAL_OK;
    json_object_del(metadata, DAL_ST_ELSEWHERE);
    return st;
}

static void parts_fini(parts *p)
{
    json_decref(p->header);
    json_decref(p->beside);
    json_decref(p->elsewhere);
}

static dal_status write_tensors(const char *path, const parts *p, dal_error *err)
{
    char *header = json_dumps(p->header, JSON_COMPACT);
    const size_t length = strlen(header), padded = (length + 7) / 8 * 8, n = 8 + padded + p->n_numbers;
    char *all = malloc(n);
    if (!all) {
        free(header);
        return dal_fail(err, DAL_E_NOMEM, "", "%s: no memory for what it should hold", path);
    }
    for (int i = 0; i < 8; i++)
        all[i] = (char)(unsigned char)((uint64_t)padded >> 8 * i);
    memcpy(all + 8, header, length);
    memset(all + 8 + length, ' ', padded - length);
    memcpy(all + 8 + padded, p->numbers, p->n_numbers);
    const dal_status st = file_write(path, all, n, err);
    free(all);
    free(header);
    return st;
}

/* ---- the parts of one that is not whole --------------------------------------------------------- */

/* Is the file what it was when the model was made? */
static dal_status check_elsewhere(const char *path, const char *hash, const dal_safetensors *f, dal_error *err)
{
    char now[17];
    uint64_t h = 0;
    for (int64_t i = 0; i < dal_safetensors_count(f); i++) {
        const dal_tensor *t = dal_safetensors_tensor(f, i);
        h = dal_hash64(h, t->name, strlen(t->name));
        h = dal_hash64(h, t->data, (size_t)t->bytes);
    }
    snprintf(now, sizeof now, "%016llx", (unsigned long long)h);
    return strcmp(now, hash) == 0
               ? DAL_OK
               : dal_fail(err, DAL_E_INVALID, "",
                          "%s: these are other weights than those that the model was made from and stands on; put the "
                          "former ones back", path);
}

/* Those of the other file, under their names here, and its own: into all. */
static dal_status gather(const parts *p, const dal_safetensors *mine, const dal_safetensors *other, dal_tensor *all,
                         int64_t *n, dal_error *err)
{
    const char *name;
    json_t *there;
    *n = 0;
    json_object_foreach(json_object_get(p->elsewhere, "tensors"), name, there) {
        const dal_tensor *t = dal_safetensors_find(other, json_string_value(there));
        if (!t) {
            char *shown = text_shown(json_string_value(there), 60, false);
            dal_fail(err, DAL_E_FORMAT, "", "%s: has no tensor '%s', which the model stands on",
                     json_string_value(json_object_get(p->elsewhere, "file")), shown);
            free(shown);
            return DAL_E_FORMAT;
        }
        all[*n] = *t;
        all[(*n)++].name = name;
    }
    for (int64_t i = 0; i < dal_safetensors_count(mine); i++)
        all[(*n)++] = *dal_safetensors_tensor(mine, i);
    return DAL_OK;
}

/* The metadata of a whole: what is said of the part's numbers goes. */
static int64_t pairs_of(const parts *p, const char **pairs, int64_t most)
{
    const char *key;
    json_t *value;
    int64_t n = 0;
    json_object_foreach(json_object_get(p->header, "__metadata__"), key, value)
        if (strcmp(key, "checksum") != 0 && n < most) {
            pairs[2 * n] = key;
            pairs[2 * n++ + 1] = json_string_value(value);
        }
    return n;
}

static dal_status write_both(const char *path, const parts *p, const dal_safetensors *mine,
                             const dal_safetensors *other, dal_error *err)
{
    const size_t n_other = json_object_size(json_object_get(p->elsewhere, "tensors"));
    dal_tensor *all = xcalloc((size_t)dal_safetensors_count(mine) + n_other + 1, sizeof *all);
    const char *pairs[2 * 16];
    int64_t n;
    dal_status st = gather(p, mine, other, all, &n, err);
    if (st == DAL_OK)
        st = dal_safetensors_write(path, all, n, pairs, pairs_of(p, pairs, 16), err);
    free(all);
    return st;
}

static dal_status write_whole(const char *path, const parts *p, dal_error *err)
{
    const dal_runtime_config config = {.struct_size = sizeof config, .threads = 1};
    const char *file = json_string_value(json_object_get(p->elsewhere, "file"));
    dal_error why = DAL_ERROR_INIT;
    dal_safetensors *mine = NULL, *other = NULL;
    dal_runtime *rt = dal_runtime_new(&config, err);
    if (!rt)
        return DAL_E_FAILED;
    const dal_host *host = dal_runtime_host(rt, "export");
    dal_status st = dal_safetensors_view(host, "it", "", p->data, (int64_t)p->n, &mine, err);
    if (st == DAL_OK && dal_safetensors_open(host, file, "", &other, &why) != DAL_OK)
        st = dal_fail(err, DAL_E_INVALID, "",
                      "%s; the model keeps only what was trained, and stands on the weights there", why.text);
    if (st == DAL_OK)
        st = check_elsewhere(file, json_string_value(json_object_get(p->elsewhere, "hash")), other, err);
    if (st == DAL_OK)
        st = write_both(path, p, mine, other, err);
    dal_safetensors_close(other);
    dal_safetensors_close(mine);
    dal_runtime_free(rt);
    return st;
}

/* ---- files -------------------------------------------------------------------------------------- */

static dal_status write_weights(const char *path, const parts *p, dal_error *err)
{
    return p->elsewhere ? write_whole(path, p, err) : write_tensors(path, p, err);
}

static dal_status write_files(const char *folder, const parts *p, dal_error *err)
{
    const char *name;
    json_t *content;
    char *path = xasprintf("%s/model.safetensors", folder);
    dal_status st = write_weights(path, p, err);
    free(path);
    json_object_foreach(p->beside, name, content) {
        path = xasprintf("%s/%s", folder, name);
        st = st == DAL_OK ? file_write(path, json_string_value(content), json_string_length(content), err) : st;
        free(path);
    }
    return st;
}

static void remove_files(const char *folder, const parts *p)
{
    const char *name;
    json_t *content;
    char *path = xasprintf("%s/model.safetensors", folder);
    unlink(path);
    free(path);
    json_object_foreach(p->beside, name, content) {
        path = xasprintf("%s/%s", folder, name);
        unlink(path);
        free(path);
    }
    rmdir(folder);
}

/* What is said of files in `made` is said of those in `asked`, which they were to become. */
static void name_as_asked(const char *made, const char *asked, dal_error *err)
{
    const size_t n = strlen(made);
    const char *at = err ? strstr(err->text, made) : NULL;
    if (!at)
        return;
    char *words = xasprintf("%.*s%s%s", (int)(at - err->text), err->text, asked, at + n);
    snprintf(err->text, sizeof err->text, "%s", words);
    free(words);
}

static dal_status write_folder(const char *folder, const parts *p, dal_error *err)
{
    char *other = xasprintf("%s.XXXXXX", folder);
    dal_status st = DAL_OK;
    if (!mkdtemp(other)) {
        st = dal_fail(err, DAL_E_IO, "", "%s: cannot be made: %s", folder, strerror(errno));
        free(other);
        return st;
    }
    const mode_t mask = umask(0);
    umask(mask);
    st = write_files(other, p, err);
    if (st == DAL_OK && (chmod(other, 0777 & ~mask) != 0 || rename(other, folder) != 0))
        st = dal_fail(err, DAL_E_IO, "", "%s: cannot be made: %s", folder, strerror(errno));
    if (st != DAL_OK) {
        remove_files(other, p);
        name_as_asked(other, folder, err);
    }
    free(other);
    return st;
}

/* Can the folder become ours? One that is not there can. */
static dal_status check_empty(const char *folder, dal_error *err)
{
    DIR *d = opendir(folder);
    bool empty = true;
    if (!d)
        return errno == ENOENT ? DAL_OK : dal_fail(err, DAL_E_INVALID, "", "%s: is no folder to write to: %s", folder,
                                                   strerror(errno));
    for (const struct dirent *e; (e = readdir(d));)
        empty = empty && (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0);
    closedir(d);
    return empty ? DAL_OK
                 : dal_fail(err, DAL_E_INVALID, "",
                            "%s: there are files in this folder; name one that is empty, or not there yet", folder);
}

dal_status write_model(const char *path, const void *data, size_t n, dal_error *err)
{
    struct stat info;
    char *folder = xstrdup(path);
    size_t length = strlen(folder);
    const bool is_folder = (length > 0 && folder[length - 1] == '/') ||
        (stat(path, &info) == 0 && S_ISDIR(info.st_mode));
    while (length > 1 && folder[length - 1] == '/')
        folder[--length] = '\0';
    parts p;
    dal_status st = take_apart(data, n, &p, err);
    if (st == DAL_OK && is_folder)
        st = check_empty(folder, err);
    if (st == DAL_OK)
        st = is_folder                        ? write_folder(folder, &p, err)
             : json_object_size(p.beside) > 0 ? write_weights(path, &p, err)
                                              : file_write(path, data, n, err);
    parts_fini(&p);
    free(folder);
    return st;
}
