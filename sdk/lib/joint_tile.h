/* The inner loop of dal/joint.h over whatever `vec` is; included after one of the lanes_*.h. KERNEL names the
 * function to define.
 */
#include "joint.h"
#include "lanes_log.h"

#define DOWN (4 * WIDE)                           /* events at once: eight sums in registers */
#define VECS (DAL_JOINT_ACROSS / 8 / WIDE)        /* a block of samples */
#define RUN 64                                    /* events summed in float before they are added in double */

/* Eight samples a row of a vector. */
INLINE vec load_samples(const float *y, int v)
{
    const float *p[2] = {y + 8 * WIDE * v, y + 8 * WIDE * v + 8};
    return v_load(p, 0);
}

/* sum += w ((1 + d) ln(1 + d) - d) for DOWN events u of one group of eight, and a class y of the samples. */
INLINE void add_events(const float *u, const float *w, const float *y, int64_t passes, vec *sum)
{
    vec d[DOWN][VECS];
    for (int i = 0; i < DOWN; i++)
        for (int v = 0; v < VECS; v++)
            d[i][v] = v_set(0);
    for (int64_t k = 0; k < passes; k++) {
        vec at[VECS];
        for (int v = 0; v < VECS; v++)
            at[v] = load_samples(y + k * DAL_JOINT_ACROSS, v);
        for (int i = 0; i < DOWN; i++)
            for (int v = 0; v < VECS; v++)
                d[i][v] = v_fma(v_set(u[k * JOINT_DOWN + i]), at[v], d[i][v]);
    }
    for (int i = 0; i < DOWN; i++)
        for (int v = 0; v < VECS; v++)
            sum[v] = v_fma(v_set(w[i]), divergence_of(d[i][v]), sum[v]);
}

void KERNEL(const dal_joint_events *e, const float *y, const float *p, int64_t classes, double *out)
{
    const int64_t passes = e->passes;
    for (int64_t c = 0; c < classes; c++, y += passes * DAL_JOINT_ACROSS, p += DAL_JOINT_ACROSS)
        for (int64_t first = 0; first < e->n; first += RUN) {
            const int64_t end = first + RUN < e->n ? first + RUN : e->n;
            float told[DAL_JOINT_ACROSS];
            vec sum[VECS];
            for (int v = 0; v < VECS; v++)
                sum[v] = v_set(0);
            for (int64_t i = first; i < end; i += DOWN) /* the last group is filled with events of weight 0 */
                add_events(e->relative + i / JOINT_DOWN * JOINT_DOWN * passes + i % JOINT_DOWN, e->weight + i, y,
                           passes, sum);
            for (int v = 0; v < VECS; v++)
                v_store(told + 8 * WIDE * v, sum[v]);
            for (int l = 0; l < DAL_JOINT_ACROSS; l++)
                out[l] += (double)p[l] * (double)told[l];
        }
}
