#include <dal/live_model.h>

dal_status dal_live_model_open(dal_live_model *m, const dal_view *view, const char *capability, dal_error *err)
{
    const dal_model *model = view->model;
    *m = (dal_live_model){.model = model};
    pthread_mutex_init(&m->lock, NULL);
    if (!model)
        return dal_fail(err, DAL_E_UNSUPPORTED, "", "there is no live model here, only its matrices");
    m->concurrent = view->get_extension(view, DAL_CAP_CONCURRENT) != NULL;
    if (*capability && DAL_HAS(dal_model_impl, model->impl, get_extension))
        m->table = model->impl->get_extension(model->self, capability);
    if (*capability && !m->table)
        return dal_fail(err, DAL_E_UNSUPPORTED, "", "the model does not offer %s", capability);
    return DAL_OK;
}

void dal_live_model_close(dal_live_model *m)
{
    pthread_mutex_destroy(&m->lock);
}

void dal_live_model_enter(dal_live_model *m)
{
    if (!m->concurrent)
        pthread_mutex_lock(&m->lock);
}

void dal_live_model_leave(dal_live_model *m)
{
    if (!m->concurrent)
        pthread_mutex_unlock(&m->lock);
}
