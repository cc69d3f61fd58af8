/* newswire: short news items made of drawn words, for tests and first steps; needs no file.
 *
 * An item is of one topic. Each of its words is a common one, or (`topical` of them) one of the topic's own; of those
 * a part (`noise`) comes from any other topic instead, so that some items are hard to tell. Words are drawn with
 * falling frequency, the k-th with weight 1 / (k + 2). Item i of a split depends on seed, split and i alone.
 */
#include <dal/dataset.h>

typedef struct options {
    int64_t n_train, n_test, n_classes, words, seed;
    double topical, noise;
} options;

#define TOPICS 8
#define OWN 24
#define COMMON 48
#define MOST 4096 /* bytes of an item: 200 words of at most 14 letters, and what is between */

static const char *const topics[TOPICS] = {"sports", "business", "science", "politics", "weather", "music", "travel",
                                           "health"};

static const char *const own[TOPICS][OWN] = {
    {"match", "goal", "team", "season", "coach", "striker", "league", "final", "referee", "stadium", "defeat", "medal",
     "sprint", "keeper", "penalty", "cup", "rally", "champion", "tournament", "injury", "transfer", "captain", "draw",
     "score"},
    {"shares", "profit", "market", "bank", "quarter", "merger", "investors", "sales", "revenue", "stock", "dividend",
     "bonds", "inflation", "factory", "exports", "losses", "retailer", "budget", "loan", "currency", "supplier",
     "takeover", "tariff", "earnings"},
    {"telescope", "genome", "particles", "laboratory", "orbit", "fossil", "quantum", "species", "satellite",
     "experiment", "molecules", "theory", "researchers", "galaxy", "enzyme", "sensor", "reactor", "neurons", "crystal",
     "probe", "bacteria", "laser", "glacier", "algorithm"},
    {"election", "parliament", "minister", "vote", "senate", "treaty", "campaign", "coalition", "president", "reform",
     "opposition", "embassy", "ballot", "governor", "law", "sanctions", "debate", "cabinet", "summit", "delegates",
     "mayor", "decree", "borders", "envoy"},
    {"storm", "rain", "forecast", "snow", "wind", "drought", "flood", "clouds", "frost", "thunder", "heat", "hail",
     "degrees", "showers", "fog", "gusts", "cyclone", "sunshine", "barometer", "coast", "warning", "evening",
     "humidity", "ice"},
    {"album", "concert", "guitar", "singer", "orchestra", "chorus", "melody", "drums", "festival", "tour", "song",
     "violin", "stage", "band", "lyrics", "opera", "piano", "tempo", "audience", "recording", "jazz", "composer",
     "single", "encore"},
    {"flight", "hotel", "beach", "passport", "luggage", "island", "train", "museum", "guide", "harbour", "tickets",
     "cruise", "airport", "visitors", "mountain", "hostel", "ferry", "map", "castle", "border", "holiday", "trail",
     "market", "resort"},
    {"patients", "vaccine", "hospital", "doctors", "symptoms", "therapy", "diet", "surgery", "clinic", "virus",
     "nurses", "dose", "trial", "infection", "heart", "diagnosis", "fever", "allergy", "sleep", "blood", "muscles",
     "tablets", "risk", "exercise"}};

static const char *const common[COMMON] = {
    "the", "of", "and", "to", "in", "a", "on", "for", "with", "that", "after", "said", "at", "by", "from", "was",
        "new", "two",
    "its", "has", "over", "more", "year", "first", "as", "were", "who", "they", "week", "would", "about", "three",
    "than", "people", "into", "day", "last", "been", "which", "time", "could", "their", "many", "against", "early",
    "late", "next", "long"};

typedef struct newswire {
    const dal_host *host;
    const options *opt;
    dal_rng stream[DAL_SPLITS];
    int64_t n[DAL_SPLITS];
} newswire;

static dal_status newswire_create(const dal_host *host, const void *opt, const dal_dataset *input, void **out,
                                  dal_error *err)
{
    static const char *const names[DAL_SPLITS] = {"train", "validation", "test"};
    const options *o = opt;
    (void)input;
    newswire *self = host->alloc(host, sizeof *self, 0);
    if (!self)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for the dataset");
    *self = (newswire){.host = host, .opt = o, .n = {o->n_train, 0, o->n_test}};
    for (uint32_t k = 0; k < DAL_SPLITS; k++)
        self->stream[k] = o->seed ? dal_rng_from_key(dal_hash64((uint64_t)o->seed, names[k], strlen(names[k])))
                                  : host->rng(host, names[k], 0);
    *out = self;
    return DAL_OK;
}

static void newswire_destroy(void *p)
{
    newswire *self = p;
    if (self)
        self->host->free(self->host, self);
}

/* A number 0..n-1, k with weight 1 / (k + 2). */
static int64_t falling(dal_rng *r, int64_t n)
{
    for (;;) { /* rejection: the envelope is uniform, and the loop ends after some ten turns */
        const int64_t k = dal_rng_below(r, n);
        if (dal_rng_uniform(r) * (double)(k + 2) < 2)
            return k;
    }
}

static int32_t class_of(const newswire *self, uint32_t k, int64_t id)
{
    dal_rng r = dal_rng_at(&self->stream[k], (uint64_t)id);
    return (int32_t)dal_rng_below(&r, self->opt->n_classes);
}

static const char *draw_word(const options *o, int64_t topic, dal_rng *r)
{
    if (dal_rng_uniform(r) >= o->topical)
        return common[falling(r, COMMON)];
    if (dal_rng_uniform(r) < o->noise) {
        const int64_t other = dal_rng_below(r, o->n_classes - 1);
        topic = other + (other >= topic);
    }
    return own[topic][falling(r, OWN)];
}

/* The item into out; its size. */
static int64_t write_item(const newswire *self, uint32_t k, int64_t id, char out[MOST])
{
    const options *o = self->opt;
    dal_rng r = dal_rng_at(&self->stream[k], (uint64_t)id);
    const int64_t topic = dal_rng_below(&r, o->n_classes);
    const int64_t n = o->words / 2 + 1 + dal_rng_below(&r, o->words);
    int64_t size = 0, sentence = 0;
    for (int64_t i = 0; i < n; i++) {
        const char *word = draw_word(o, topic, &r);
        const size_t length = strlen(word);
        if (size > 0)
            out[size++] = ' ';
        memcpy(out + size, word, length);
        if (sentence++ == 0)
            out[size] = (char)(word[0] - 'a' + 'A');
        size += (int64_t)length;
        if (i == n - 1 || (sentence >= 6 && dal_rng_below(&r, 6) == 0)) {
            out[size++] = '.';
            sentence = 0;
        } else if (sentence > 3 && dal_rng_below(&r, 9) == 0) {
            out[size++] = ',';
        }
    }
    return size;
}

static dal_status newswire_info(void *p, dal_dataset_info *out, dal_error *err)
{
    const newswire *self = p;
    (void)err;
    out->spec = (dal_sample_spec){.struct_size = sizeof out->spec, .modality = DAL_TEXT,
                                  .n_classes = self->opt->n_classes};
    memcpy(out->n, self->n, sizeof out->n);
    out->class_names = topics;
    return DAL_OK;
}

static dal_status newswire_classes(void *p, uint32_t k, const int64_t *ids, int64_t n, int32_t *out, dal_error *err)
{
    const newswire *self = p;
    const dal_status st = dal_check_ids(self->n[k], ids, n, err);
    for (int64_t i = 0; i < n && st == DAL_OK; i++)
        out[i] = class_of(self, k, ids[i]);
    return st;
}

static dal_status newswire_sizes(void *p, uint32_t k, const int64_t *ids, int64_t n, int64_t *out, dal_error *err)
{
    const newswire *self = p;
    char text[MOST];
    const dal_status st = dal_check_ids(self->n[k], ids, n, err);
    for (int64_t i = 0; i < n && st == DAL_OK; i++)
        out[i] = write_item(self, k, ids[i], text);
    return st;
}

static dal_status newswire_read(void *p, uint32_t k, const int64_t *ids, int64_t n, dal_batch *out, dal_error *err)
{
    const newswire *self = p;
    char text[MOST];
    dal_status st = dal_check_ids(self->n[k], ids, n, err);
    for (int64_t i = 0; i < n && st == DAL_OK; i++) {
        const int64_t size = write_item(self, k, ids[i], text);
        if (size != out->offsets[i + 1] - out->offsets[i])
            st = dal_fail(err, DAL_E_CONTRACT, "", "room for %lld bytes of item %lld, which has %lld",
                          (long long)(out->offsets[i + 1] - out->offsets[i]), (long long)ids[i], (long long)size);
        else
            memcpy((char *)out->data + out->offsets[i], text, (size_t)size);
    }
    return st;
}

static const dal_dataset_impl newswire_impl = {
    .struct_size = sizeof newswire_impl,
    .create = newswire_create,
    .destroy = newswire_destroy,
    .info = newswire_info,
    .classes = newswire_classes,
    .read = newswire_read,
    .sizes = newswire_sizes,
};

#define PARAMS(P, T)                                                                                     \
    P(T, n_train, I64, "2000", "1..100000000", "samples", "in the pool")                                 \
    P(T, n_test, I64, "500", "0..100000000", "samples", "to test on")                                    \
    P(T, n_classes, I64, "4", "2..8", "classes",                                                                       \
      "sports, business, science, politics, weather, music, travel, health")                                           \
    P(T, words, I64, "20", "2..130", "words", "of an item, about")                                       \
    P(T, topical, F64, "0.2", "0..1", "", "part of the words that a topic makes")                        \
    P(T, noise, F64, "0.3", "0..1", "", "part of those that come from another topic")                    \
    P(T, seed, I64, "1", "0..", "", "of all items; 0: they follow the seed of the run")
#define COMPONENTS(C)                                                                                    \
    C(DATASET, "newswire", newswire_impl, "short texts on topics, drawn from words; needs no file", "", "", \
      DAL_CAP_CONCURRENT, options, PARAMS)
DAL_MODULE(newswire, "1.0", "Apache-2.0", COMPONENTS, NULL, NULL)
