/* dal/embedding.h: (libdal) the samples of a round as points that strategies compare (dal/similarity.h).
 */
#ifndef DAL_EMBEDDING_H
#define DAL_EMBEDDING_H

#include <dal/similarity.h>
#include <dal/strategy.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The penultimate features h, or the gradient of the cross-entropy with respect to weights and bias of the last
 * layer, (p - e_y) (x) [h, 1], in two factors (dal/gradient.h). */
#define DAL_EMBED_FEATURES 0u
#define DAL_EMBED_GRADIENT 1u

/* y: what the model predicts; the sample's class (of labelled samples); or none of the c classes: one more, which
 * the model is taken to give probability 0. */
#define DAL_EMBED_PREDICTED 0u
#define DAL_EMBED_CLASS 1u
#define DAL_EMBED_NONE 2u

typedef struct dal_embed_spec {
    uint32_t struct_size;
    uint32_t set;        /* DAL_ROWS_* */
    const int64_t *rows; /* [n] of the set; NULL: all of it */
    int64_t n;
    uint32_t embedding, label;
    int32_t further;     /* gradients: room for the class that is none of the c; all that are compared agree */
    int32_t directions;  /* gradients: y at length 1, for cosine; a model that is certain has very short ones */
} dal_embed_spec;

typedef struct dal_embedding {
    dal_points points;
    void *owned[2];
} dal_embedding;

/* [main] Needs the features of the set, for gradients the outputs too. Features of a whole set are borrowed from
 * the view; 4 c bytes a sample are taken for gradients, 4 d for some rows of a set. Measured; DAL_E_INVALID names
 * the pool index of a sample that cannot be compared. Call dal_embedding_free in any case. */
DAL_PUBLIC dal_status dal_embed(const dal_host *host, const dal_view *view, const dal_embed_spec *spec,
                                dal_embedding *out, dal_error *err);
DAL_PUBLIC void dal_embedding_free(const dal_host *host, dal_embedding *e);

#ifdef __cplusplus
}
#endif
#endif
