/* glyphs: images of digits and letters drawn from strokes, a data set that needs no file.
 *
 * Sample i of a split is a pure function of (seed, split, i): its class, the way its glyph is written
 * (some glyphs have rarer forms), an affine map, a smooth elastic distortion, the thickness and
 * darkness of the pen, a stray mark and noise. The seed is the data set's own: the data stay the same
 * when the seed of a run changes.
 *
 * Strokes live in a box of 100 x 100 units, x to the right, y down. "P x y x y ..." is a polyline,
 * "A cx cy rx ry from to" an arc, angles in degrees, 0 right and 90 down. Each command lifts the pen.
 */
#include <dal/dataset.h>

#include <math.h>
#include <stdlib.h>

typedef struct options {
    int64_t n_train, n_test, size, n_classes, seed;
    double noise, distortion;
} options;

#define DRAWING 1u        /* part of the fingerprint: a new way to draw is another data set */
#define MAX_CLASSES 36
#define MAX_SIZE 64
#define MAX_POINTS 96     /* of one form; a test sees that all stay below */
#define GRID 5            /* control points of the elastic distortion, each way */
#define CACHE ((int64_t)256 << 20) /* images up to this many bytes are drawn once, into temp_map memory */
#define TILE 64           /* samples drawn by one task */

/* ---- the alphabet ----------------------------------------------------------------------------- */

typedef struct form {
    uint32_t class_index;
    double share; /* of the samples of its class, before normalising */
    const char *strokes;
} form;

static const char *const names[MAX_CLASSES] = {
    "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "A", "B", "C", "D", "E", "F", "G", "H",
    "I", "J", "K", "L", "M", "N", "O", "P", "Q", "R", "S", "T", "U", "V", "W", "X", "Y", "Z"};

/* clang-format off */
static const form forms[] = {
    {0, .75, "A 50 50 28 42 0 360"},
    {0, .25, "A 50 50 28 42 0 360 P 30 78 70 22"},
    {1, .55, "P 32 28 52 8 52 92"},
    {1, .30, "P 50 8 50 92"},
    {1, .15, "P 32 26 52 8 52 92 P 30 92 74 92"},
    {2, .75, "A 50 32 26 24 180 385 P 74 42 24 92 78 92"},
    {2, .25, "A 50 30 26 22 185 400 P 70 44 42 76 A 36 80 13 11 0 360 P 48 86 80 92"},
    {3, .75, "A 48 30 24 22 200 450 A 48 71 28 21 270 520"},
    {3, .25, "P 24 8 74 8 46 42 A 48 67 28 25 270 520"},
    {4, .60, "P 62 92 62 8 20 64 82 64"},
    {4, .40, "P 28 10 24 56 78 56 P 68 10 68 92"},
    {5, .75, "P 74 8 32 8 28 47 A 48 66 28 26 225 520"},
    {5, .25, "P 76 10 40 8 A 50 30 22 22 270 90 A 48 71 26 21 270 510"},
    {6, .75, "A 50 68 25 24 0 360 A 74 64 49 56 180 262"},
    {6, .25, "P 62 8 28 60 A 50 68 25 24 0 360"},
    {7, .65, "P 22 10 78 10 42 92"},
    {7, .35, "P 22 10 78 10 42 92 P 36 50 72 50"},
    {8, .75, "A 50 29 22 21 0 360 A 50 71 26 21 0 360"},
    {8, .25, "P 72 18 50 8 30 24 74 72 50 92 26 74 72 18"},
    {9, .75, "A 50 32 25 24 0 360 P 75 32 70 92"},
    {9, .25, "A 50 32 25 24 0 360 A 26 36 49 56 0 82"},
    {10, .80, "P 20 92 50 8 80 92 P 32 62 68 62"},
    {10, .20, "A 48 64 26 26 0 360 P 74 38 76 92"},
    {11, 1.0, "P 26 92 26 8 50 8 A 50 28 22 20 270 450 P 50 48 26 48 P 26 48 52 48 A 52 70 25 22 270 450 P 52 92 26 "
              "92"},
    {12, 1.0, "A 56 50 34 42 310 50"},
    {13, 1.0, "P 46 92 26 92 26 8 46 8 A 46 50 32 42 270 450"},
    {14, .80, "P 76 8 26 8 26 92 78 92 P 26 50 66 50"},
    {14, .20, "A 56 29 26 21 310 90 A 56 71 28 21 270 50"},
    {15, 1.0, "P 76 8 28 8 28 92 P 28 48 66 48"},
    {16, 1.0, "A 52 50 30 42 315 20 P 54 56 80 56 80 88"},
    {17, .75, "P 24 8 24 92 P 76 8 76 92 P 24 50 76 50"},
    {17, .25, "P 28 8 28 92 A 50 64 22 24 180 360 P 72 64 72 92"},
    {18, 1.0, "P 30 8 70 8 P 50 8 50 92 P 30 92 70 92"},
    {19, 1.0, "P 40 8 76 8 P 64 8 64 66 A 44 66 20 26 0 170"},
    {20, 1.0, "P 26 8 26 92 P 74 8 26 54 P 42 42 76 92"},
    {21, 1.0, "P 28 8 28 92 76 92"},
    {22, 1.0, "P 18 92 22 8 50 60 78 8 82 92"},
    {23, 1.0, "P 24 92 24 8 76 92 76 8"},
    {24, 1.0, "A 50 50 40 40 0 360"},
    {25, 1.0, "P 28 92 28 8 50 8 A 50 30 24 22 270 450 P 50 52 28 52"},
    {26, 1.0, "A 50 48 34 38 0 360 P 58 66 82 94"},
    {27, 1.0, "P 28 92 28 8 50 8 A 50 30 24 22 270 450 P 50 52 28 52 P 48 52 76 92"},
    {28, 1.0, "A 50 29 24 21 330 90 A 50 71 26 21 270 510"},
    {29, .75, "P 18 8 82 8 P 50 8 50 92"},
    {29, .25, "P 48 8 48 80 A 60 80 12 12 180 60 P 28 34 70 34"},
    {30, 1.0, "P 24 8 24 60 A 50 60 26 32 180 0 P 76 60 76 8"},
    {31, 1.0, "P 20 8 50 92 80 8"},
    {32, 1.0, "P 14 8 32 92 50 36 68 92 86 8"},
    {33, 1.0, "P 22 8 78 92 P 78 8 22 92"},
    {34, 1.0, "P 20 8 50 48 80 8 P 50 48 50 92"},
    {35, .70, "P 22 8 78 8 22 92 78 92"},
    {35, .30, "P 22 8 78 8 22 92 78 92 P 36 50 66 50"},
};
/* clang-format on */
#define N_FORMS ((int64_t)(sizeof forms / sizeof forms[0]))

/* A form as points; the segment from point i to i + 1 is drawn unless the pen is lifted after i. */
typedef struct outline {
    int32_t n;
    float x[MAX_POINTS], y[MAX_POINTS];
    unsigned char lifted[MAX_POINTS];
} outline;

typedef struct glyphs {
    const dal_host *host;
    const options *opt;
    int64_t n[DAL_SPLITS];
    dal_rng streams[DAL_SPLITS];
    int64_t first_form[MAX_CLASSES + 1]; /* forms of class c: first_form[c] .. first_form[c + 1] - 1 */
    outline outlines[N_FORMS];
    unsigned char *cache; /* all splits one after the other; NULL: draw on read */
    int64_t cache_bytes;
} glyphs;

/* ---- from text to points ---------------------------------------------------------------------- */

static void add_point(outline *o, double x, double y)
{
    if (o->n == MAX_POINTS)
        return;
    o->x[o->n] = (float)(x / 50 - 1); /* -1..1, the centre at 0 */
    o->y[o->n] = (float)(y / 50 - 1);
    o->lifted[o->n++] = 0;
}

/* A long segment is cut into short ones, so that the elastic distortion can bend it. */
static void add_segment(outline *o, double x0, double y0, double x1, double y1)
{
    const int pieces = 1 + (int)(hypot(x1 - x0, y1 - y0) / 14);
    for (int i = 1; i <= pieces; i++)
        add_point(o, x0 + (x1 - x0) * i / pieces, y0 + (y1 - y0) * i / pieces);
}

static void add_arc(outline *o, const double *a)
{
    const double radian = 0.017453292519943295;
    const int pieces = 3 + (int)(fabs(a[5] - a[4]) / 24);
    for (int i = 0; i <= pieces; i++) {
        const double angle = (a[4] + (a[5] - a[4]) * i / pieces) * radian;
        add_point(o, a[0] + a[2] * cos(angle), a[1] + a[3] * sin(angle));
    }
}

static outline parse_form(const char *s)
{
    outline o = {0};
    while (*s) {
        const char command = *s++;
        double a[16];
        int n = 0;
        for (char *end; n < 16; s = end) {
            a[n] = strtod(s, &end);
            if (end == s)
                break;
            n++;
        }
        if (command == 'A') {
            add_arc(&o, a);
        } else {
            add_point(&o, a[0], a[1]);
            for (int i = 2; i + 1 < n; i += 2)
                add_segment(&o, a[i - 2], a[i - 1], a[i], a[i + 1]);
        }
        o.lifted[o.n - 1] = 1;
        while (*s == ' ')
            s++;
    }
    return o;
}

/* ---- one sample ------------------------------------------------------------------------------- */

/* Everything random about the look of a sample but its noise. */
typedef struct look {
    float m[4], shift[2];           /* affine map, in units of half the image */
    float bend[2][GRID][GRID];      /* elastic displacement at the control points */
    float radius, ink, paper;       /* of the pen, in pixels; grey levels */
} look;

static double between(dal_rng *r, double low, double high)
{
    return low + (high - low) * dal_rng_uniform(r);
}

/* Uniform in -1..1. */
static double either_way(dal_rng *r)
{
    return between(r, -1, 1);
}

static look draw_look(dal_rng *r, const options *o)
{
    look k;
    /* most people write neatly, some do not: the cube makes strong distortion rare */
    const double u = dal_rng_uniform(r), d = o->distortion * (0.36 + 1.04 * u * u * u);
    const double turn = 0.45 * d * either_way(r), shear = 0.40 * d * either_way(r);
    const double base = 0.72 * (1 - 0.16 * fmin(d, 2) * dal_rng_uniform(r));
    const double sx = base * (1 - 0.22 * fmin(d, 2) * dal_rng_uniform(r)), sy = base;
    const double c = cos(turn), s = sin(turn);
    k.m[0] = (float)(c * sx);
    k.m[1] = (float)((c * shear - s) * sy);
    k.m[2] = (float)(s * sx);
    k.m[3] = (float)((s * shear + c) * sy);
    k.shift[0] = (float)(0.10 * d * either_way(r));
    k.shift[1] = (float)(0.10 * d * either_way(r));
    for (int i = 0; i < 2 * GRID * GRID; i++)
        (&k.bend[0][0][0])[i] = (float)(0.30 * d * either_way(r));
    const double pixels = (double)o->size / 28;
    k.radius = (float)fmax(0.5, pixels * between(r, 0.7, 1.7)); /* thinner ones would fade away */
    k.ink = (float)between(r, 150, 255);
    k.paper = (float)between(r, 0, 30);
    return k;
}

/* The four weights of a uniform cubic B-spline at t in [0, 1]. */
static void spline_weights(float t, float w[4])
{
    const float s = 1 - t;
    w[0] = s * s * s / 6;
    w[1] = (3 * t * t * t - 6 * t * t + 4) / 6;
    w[2] = (3 * s * s * s - 6 * s * s + 4) / 6;
    w[3] = t * t * t / 6;
}

/* Where point (x, y) of an outline falls in the image, in pixels. */
static void place(const look *k, float x, float y, float half, float *px, float *py)
{
    /* the control grid spans -1..1 with two cells each way */
    const float gx = x + 1, gy = y + 1;
    const int cx = gx < 1 ? 0 : 1, cy = gy < 1 ? 0 : 1;
    float wx[4], wy[4], dx = 0, dy = 0;
    spline_weights(gx - (float)cx, wx);
    spline_weights(gy - (float)cy, wy);
    for (int i = 0; i < 4; i++) {
        for (int j = 0; j < 4; j++) {
            dx += wy[i] * wx[j] * k->bend[0][cy + i][cx + j];
            dy += wy[i] * wx[j] * k->bend[1][cy + i][cx + j];
        }
    }
    x += dx;
    y += dy;
    *px = half * (1 + k->m[0] * x + k->m[1] * y + k->shift[0]) - 0.5f;
    *py = half * (1 + k->m[2] * x + k->m[3] * y + k->shift[1]) - 0.5f;
}

static int clip(float v, int size)
{
    return v < 0 ? 0 : v > (float)size ? size : (int)v;
}

/* Lower near[y][x] to the squared distance between the pixel and the segment a-b, where it is within
 * `reach` of it. */
static void stroke(float *near, int size, float reach, float ax, float ay, float bx, float by)
{
    const float dx = bx - ax, dy = by - ay, length2 = dx * dx + dy * dy;
    const float inverse = length2 > 0 ? 1 / length2 : 0;
    const int x0 = clip(fminf(ax, bx) - reach, size), x1 = clip(fmaxf(ax, bx) + reach + 1, size);
    const int y0 = clip(fminf(ay, by) - reach, size), y1 = clip(fmaxf(ay, by) + reach + 1, size);
    for (int y = y0; y < y1; y++) {
        float *row = near + y * size;
        const float vy = (float)y - ay;
        for (int x = x0; x < x1; x++) {
            const float vx = (float)x - ax;
            float t = (vx * dx + vy * dy) * inverse;
            t = t < 0 ? 0 : t;
            t = t > 1 ? 1 : t;
            const float ex = vx - t * dx, ey = vy - t * dy, d2 = ex * ex + ey * ey;
            row[x] = d2 < row[x] ? d2 : row[x];
        }
    }
}

static void draw_strokes(const outline *o, const look *k, dal_rng *r, int size, float *near)
{
    const float half = (float)size / 2, reach = k->radius + 1;
    float x[MAX_POINTS], y[MAX_POINTS];
    for (int i = 0; i < size * size; i++)
        near[i] = reach * reach;
    for (int32_t i = 0; i < o->n; i++)
        place(k, o->x[i], o->y[i], half, &x[i], &y[i]);
    for (int32_t i = 0; i + 1 < o->n; i++)
        if (!o->lifted[i])
            stroke(near, size, reach, x[i], y[i], x[i + 1], y[i + 1]);
    if (dal_rng_uniform(r) < 0.25) { /* a stray mark, as from the neighbouring line */
        const float ax = (float)between(r, 0, size), ay = (float)between(r, 0, size);
        const float bx = ax + (float)(0.25 * size * either_way(r)), by = ay + (float)(0.25 * size * either_way(r));
        stroke(near, size, reach, ax, ay, bx, by);
    }
}

/* Grey levels from distances (the pen's edge is one pixel wide), with noise: the sum of four bytes of
 * one random word is close to normal. */
static void develop(const look *k, double noise, dal_rng *r, int count, const float *near, unsigned char *out)
{
    const float scale = (float)(noise * 255 / 147.8), edge = k->radius + 0.5f;
    for (int i = 0; i < count; i++) {
        float cover = edge - sqrtf(near[i]);
        cover = cover < 0 ? 0 : cover > 1 ? 1 : cover;
        float v = k->paper + (k->ink - k->paper) * cover;
        if (noise > 0) {
            const uint32_t w = dal_rng_u32(r);
            v += scale * ((float)((w & 255) + (w >> 8 & 255) + (w >> 16 & 255) + (w >> 24)) - 510);
        }
        out[i] = (unsigned char)(v < 0 ? 0 : v > 255 ? 255 : v + 0.5f);
    }
}

static int32_t class_of(const glyphs *self, uint32_t split, int64_t i)
{
    dal_rng r = dal_rng_at(&self->streams[split], (uint64_t)i);
    return (int32_t)dal_rng_below(&r, self->opt->n_classes);
}

static void draw(const glyphs *self, uint32_t split, int64_t i, unsigned char *out)
{
    float near[MAX_SIZE * MAX_SIZE];
    const int size = (int)self->opt->size;
    dal_rng r = dal_rng_at(&self->streams[split], (uint64_t)i);
    const int64_t c = dal_rng_below(&r, self->opt->n_classes); /* as class_of */
    double u = dal_rng_uniform(&r);
    int64_t f = self->first_form[c];
    while (f + 1 < self->first_form[c + 1] && u >= forms[f].share)
        u -= forms[f++].share;
    const look k = draw_look(&r, self->opt);
    draw_strokes(&self->outlines[f], &k, &r, size, near);
    develop(&k, self->opt->noise, &r, size * size, near, out);
}

/* ---- the table -------------------------------------------------------------------------------- */

static void glyphs_destroy(void *p)
{
    glyphs *self = p;
    if (!self)
        return;
    if (self->cache)
        self->host->temp_unmap(self->host, self->cache, (size_t)self->cache_bytes);
    self->host->free(self->host, self);
}

static dal_status fill_tile(void *ctx, int64_t tile)
{
    const glyphs *self = ctx;
    const int64_t bytes = self->opt->size * self->opt->size, train = self->n[DAL_SPLIT_TRAIN];
    const int64_t all = train + self->n[DAL_SPLIT_TEST];
    if (self->host->cancelled(self->host))
        return DAL_E_CANCELLED;
    for (int64_t i = tile * TILE; i < (tile + 1) * TILE && i < all; i++) {
        const uint32_t split = i < train ? DAL_SPLIT_TRAIN : DAL_SPLIT_TEST;
        draw(self, split, i < train ? i : i - train, self->cache + i * bytes);
    }
    return DAL_OK;
}

/* Draw everything now where that takes little room: a run reads each sample many times. */
static dal_status fill_cache(glyphs *self, dal_error *err)
{
    int64_t bytes;
    const int64_t all = self->n[DAL_SPLIT_TRAIN] + self->n[DAL_SPLIT_TEST];
    if (!dal_size_mul(all, self->opt->size * self->opt->size, &bytes) || bytes > CACHE)
        return DAL_OK;
    void *memory = NULL;
    dal_status st = self->host->temp_map(self->host, (size_t)bytes, &memory, err);
    if (st != DAL_OK)
        return st;
    self->cache = memory;
    self->cache_bytes = bytes;
    st = self->host->parallel_for(self->host, (all + TILE - 1) / TILE, fill_tile, self);
    return st == DAL_OK ? st : dal_fail(err, st, "", "stopped while drawing the glyphs");
}

static dal_status glyphs_create(const dal_host *host, const void *opt, const dal_dataset *input, void **out,
                                dal_error *err)
{
    (void)input;
    glyphs *self = host->alloc(host, sizeof *self, 0);
    if (!self)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for the dataset");
    *self = (glyphs){.host = host, .opt = opt};
    const dal_rng root = dal_rng_from_key(dal_hash64((uint64_t)self->opt->seed, "glyphs", 6));
    for (uint32_t k = 0; k < DAL_SPLITS; k++)
        self->streams[k] = dal_rng_from_key(dal_hash64(root.key, &k, sizeof k));
    self->n[DAL_SPLIT_TRAIN] = self->opt->n_train;
    self->n[DAL_SPLIT_TEST] = self->opt->n_test;
    for (int64_t f = 0; f < N_FORMS; f++) {
        self->outlines[f] = parse_form(forms[f].strokes);
        self->first_form[forms[f].class_index + 1] = f + 1;
    }
    const dal_status st = fill_cache(self, err);
    if (st == DAL_OK)
        *out = self;
    else
        glyphs_destroy(self);
    return st;
}

static dal_status glyphs_info(void *p, dal_dataset_info *info, dal_error *err)
{
    const glyphs *self = p;
    const int64_t size = self->opt->size;
    (void)err;
    info->spec = (dal_sample_spec){
        sizeof info->spec, DAL_IMAGE, DAL_U8, 3, {1, size, size}, self->opt->n_classes};
    memcpy(info->n, self->n, sizeof info->n);
    info->class_names = names;
    return DAL_OK;
}

static dal_status glyphs_classes(void *p, uint32_t split, const int64_t *ids, int64_t n, int32_t *out,
                                 dal_error *err)
{
    const glyphs *self = p;
    const dal_status st = dal_check_ids(self->n[split], ids, n, err);
    for (int64_t i = 0; st == DAL_OK && i < n; i++)
        out[i] = class_of(self, split, ids[i]);
    return st;
}

static dal_status glyphs_read(void *p, uint32_t split, const int64_t *ids, int64_t n, dal_batch *out,
                              dal_error *err)
{
    const glyphs *self = p;
    const int64_t bytes = self->opt->size * self->opt->size;
    const int64_t first = split == DAL_SPLIT_TEST ? self->n[DAL_SPLIT_TRAIN] : 0;
    const dal_status st = dal_check_ids(self->n[split], ids, n, err);
    unsigned char *to = out->data;
    for (int64_t i = 0; st == DAL_OK && i < n; i++, to += bytes) {
        if (self->cache)
            memcpy(to, self->cache + (first + ids[i]) * bytes, (size_t)bytes);
        else
            draw(self, split, ids[i], to);
    }
    return st;
}

static dal_status glyphs_fingerprint(void *p, uint64_t out[2], dal_error *err)
{
    const options *o = ((const glyphs *)p)->opt;
    (void)err;
    const int64_t numbers[] = {o->n_train, o->n_test, o->size, o->n_classes, o->seed};
    const double reals[] = {o->noise, o->distortion};
    out[0] = dal_hash64(DRAWING, numbers, sizeof numbers);
    out[1] = dal_hash64(out[0], reals, sizeof reals);
    return DAL_OK;
}

static const dal_dataset_impl glyphs_impl = {
    .struct_size = sizeof glyphs_impl,
    .create = glyphs_create,
    .destroy = glyphs_destroy,
    .info = glyphs_info,
    .classes = glyphs_classes,
    .read = glyphs_read,
    .fingerprint = glyphs_fingerprint,
};

#define PARAMS(P, T)                                                                                    \
    P(T, n_train, I64, "10000", "1..1000000000", "images", "size of the pool")                          \
    P(T, n_test, I64, "2000", "0..1000000000", "images", "size of the test split")                      \
    P(T, size, I64, "28", "8..64", "pixels", "height and width")                                        \
    P(T, n_classes, I64, "10", "2..36", "", "the first so many of 0..9, A..Z")                          \
    P(T, noise, F64, "0.1", "0..1", "", "standard deviation of the noise in each pixel; 1: full scale") \
    P(T, distortion, F64, "1", "0..3", "", "strength of the affine and the elastic distortion")         \
    P(T, seed, I64, "0", "", "", "of the data alone: they do not change with the seed of the run")
#define COMPONENTS(C)                                                                                   \
    C(DATASET, "glyphs", glyphs_impl, "images of digits and letters drawn from strokes; needs no file", \
      "", "", DAL_CAP_CONCURRENT, options, PARAMS)
DAL_MODULE(glyphs, "1.0", "Apache-2.0", COMPONENTS, NULL, NULL)
