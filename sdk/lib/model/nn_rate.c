#include "nn_rate.h"

#include <math.h>

/* How often the rate has fallen after so many whole epochs. */
static double falls(const dal_nn_training *o, double epochs)
{
    const dal_i64_list *at = &o->control.milestones;
    int64_t n = 0;
    if (o->control.schedule == DAL_NN_RATE_STEP)
        return floor(epochs / (double)o->control.step_epochs);
    for (int64_t i = 0; i < at->n; i++)
        n += (double)at->items[i] <= epochs;
    return (double)n;
}

double nn_rate_at(const dal_nn_training *o, double begun, double ended)
{
    const dal_nn_control *c = &o->control;
    const double done = begun / (double)o->epochs;
    double rate = o->learning_rate;
    if (c->schedule == DAL_NN_RATE_COSINE)
        rate *= 0.5 * (1 + cos(3.14159265358979323846 * done));
    else if (c->schedule == DAL_NN_RATE_STEPS && c->milestones.n == 0)
        rate *= pow(c->gamma, done >= 0.75 ? 2 : done >= 0.5 ? 1 : 0);
    else if (c->schedule == DAL_NN_RATE_LINEAR)
        rate *= ended < 0.1 * (double)o->epochs ? 10 * ended / (double)o->epochs : (1 - done) / 0.9;
    else if (c->schedule != DAL_NN_RATE_CONSTANT)
        rate *= pow(c->gamma, falls(o, floor(begun)));
    return c->warmup > 0 && ended < (double)c->warmup ? rate * ended / (double)c->warmup : rate;
}
