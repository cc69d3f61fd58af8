/* A model for command.test: the class whose mean is nearest, or one that misbehaves as its argument says.
 *
 * Features are the samples' first two values. Of text (x.jsonl) the class is the number of the first letter after 'a'.
 */
#include <dal/npy.h>

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_CLASSES 16
#define MAX_WIDTH 1024

static const char *mode = "good";
static int64_t n_classes, width;
static int text;
static float mean[MAX_CLASSES][MAX_WIDTH];
static int64_t count[MAX_CLASSES];

static const char *file(const char *name)
{
    static char path[2][512];
    static int k;
    k = !k;
    snprintf(path[k], sizeof path[k], "%s/%s", getenv("DAL_MODEL_DIR"), name);
    return path[k];
}

static void stop(const char *why)
{
    fprintf(stderr, "command_child: %s\n", why);
    exit(1);
}

static dal_npy *load(const char *name)
{
    dal_npy *npy;
    dal_error err = DAL_ERROR_INIT;
    if (dal_npy_open(file(name), &npy, &err) != DAL_OK)
        stop(err.text);
    return npy;
}

static void fit(void)
{
    if (text)
        return;
    dal_npy *x = load("x.npy"), *y = load("y.npy");
    float row[MAX_WIDTH];
    width = dal_npy_width(x);
    memset(mean, 0, sizeof mean);
    memset(count, 0, sizeof count);
    for (int64_t i = 0; i < dal_npy_size(x, 0); i++) {
        int64_t c;
        if (dal_npy_to_f32(x, i, 1, row, NULL) != DAL_OK || dal_npy_to_i64(y, i, 1, &c, NULL) != DAL_OK)
            stop("bad rows");
        count[c]++;
        for (int64_t j = 0; j < width; j++)
            mean[c][j] += (row[j] - mean[c][j]) / (float)count[c];
    }
    dal_npy_close(x);
    dal_npy_close(y);
}

static void write_rows(const char *name, const float *rows, int64_t n, int64_t columns)
{
    const int64_t shape[2] = {n, columns};
    if (dal_npy_write(file(name), DAL_NPY_F32, 2, shape, rows, NULL) != DAL_OK)
        stop("cannot write");
}

/* Probabilities fall with the squared distance. */
static void predict_row(const float *x, float *p)
{
    float sum = 0;
    for (int64_t c = 0; c < n_classes; c++) {
        float d = 0;
        for (int64_t j = 0; j < width; j++)
            d += (x[j] - mean[c][j]) * (x[j] - mean[c][j]);
        sum += p[c] = count[c] ? 1 / (1 + d) : 0;
    }
    for (int64_t c = 0; c < n_classes; c++)
        p[c] /= sum;
}

static void predict_text(int64_t n, float *p)
{
    char line[4096];
    FILE *f = fopen(file("x.jsonl"), "r");
    for (int64_t i = 0; i < n; i++) {
        if (!f || !fgets(line, sizeof line, f) || line[0] != '"')
            stop("x.jsonl is too short");
        for (int64_t c = 0; c < n_classes; c++)
            p[i * n_classes + c] = line[1] - 'a' == c ? 1 : 0;
    }
    fclose(f);
}

static void predict(int64_t n, int features)
{
    float *p = calloc((size_t)(n * n_classes), sizeof *p), *f = calloc((size_t)n, 2 * sizeof *f), row[MAX_WIDTH];
    if (text) {
        predict_text(n, p);
    } else {
        dal_npy *x = load("x.npy");
        for (int64_t i = 0; i < n; i++) {
            if (dal_npy_to_f32(x, i, 1, row, NULL) != DAL_OK)
                stop("bad rows");
            predict_row(row, p + i * n_classes);
            memcpy(f + 2 * i, row, 2 * sizeof *f);
        }
        dal_npy_close(x);
    }
    if (strcmp(mode, "logits") == 0)
        for (int64_t i = 0; i < n * n_classes; i++)
            p[i] = p[i] * 10 - 3;
    if (strcmp(mode, "nothing") != 0)
        write_rows("p.npy", p, strcmp(mode, "narrow") == 0 ? n - 1 : n, n_classes);
    if (features)
        write_rows("f.npy", f, n, 2);
    free(p);
    free(f);
}

static void keep(const char *how)
{
    if (strcmp(mode, "pipe") == 0) {
        mkfifo(file("model.bin"), 0600);
        return;
    }
    FILE *f = fopen(file("model.bin"), how);
    size_t n = 0;
    if (f && how[0] == 'w')
        n = fwrite(&width, sizeof width, 1, f) + fwrite(count, sizeof count, 1, f) + fwrite(mean, sizeof mean, 1, f);
    else if (f)
        n = fread(&width, sizeof width, 1, f) + fread(count, sizeof count, 1, f) + fread(mean, sizeof mean, 1, f);
    if (!f || n != 3 || fclose(f) != 0)
        stop("model.bin");
}

static void answer(const char *line)
{
    long long n = 0;
    const char *shape = strstr(line, " classes="), *size = strstr(line, " n=");
    if (size)
        n = atoll(size + 3);
    if (strncmp(line, "spec ", 5) == 0) {
        n_classes = shape ? atoll(shape + 9) : 0;
        text = strstr(line, "modality=text") != NULL;
        if (n_classes < 2 || n_classes > MAX_CLASSES)
            stop("classes");
    } else if (strncmp(line, "fit ", 4) == 0) {
        if (strcmp(mode, "refuse") == 0) {
            puts("error the moon is full");
            return;
        }
        if (strcmp(mode, "die") == 0)
            stop("out of cheese");
        if (strcmp(mode, "sleep") == 0)
            sleep(30);
        if (strncmp(mode, "litter", 6) == 0 && fork() == 0) { /* with all files open */
            sleep(60);
            _exit(0);
        }
        if (strcmp(mode, "litter-and-die") == 0)
            _exit(7);
        if (strcmp(mode, "chatter") == 0)
            puts("epoch 1 of 3");
        fit();
    } else if (strncmp(line, "predict ", 8) == 0 || strncmp(line, "features ", 9) == 0) {
        predict(n, line[0] == 'f');
    } else {
        keep(line[0] == 's' ? "w" : "r");
    }
    fputs(strcmp(mode, "twice") == 0 && line[0] == 'f' ? "ok\nok\n" : "ok\n", stdout); /* in one piece */
}

int main(int argc, char **argv)
{
    char line[4096];
    mode = argc > 1 ? argv[1] : mode;
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (strcmp(mode, "mute") == 0)
        return 3;
    puts(strcmp(mode, "old") == 0 ? "dal-model 0" : "dal-model 1");
    while (fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = '\0';
        answer(line);
    }
    return 0;
}
