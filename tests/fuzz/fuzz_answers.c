/* Any bytes as the answers that people write: sound answers to what was asked, or a complaint. */
#include "tests/fuzz/fuzz_component.h"

#include "plugins/oracles/file.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const char *const names[] = {"cat", "dog", "polar bear"};
    fuzz_file file = fuzz_open(data, n);
    dal_runtime *rt = fuzz_runtime();
    dal_error err = DAL_ERROR_INIT;
    const dal_oracle_task task = {.struct_size = sizeof task, .n_pool = 100, .n_classes = 3, .class_names = names};
    const file_oracle self = {.host = dal_runtime_host(rt, "file"), .task = &task};
    query asked[] = {{.id = 0, .at = 1}, {.id = 7, .at = -1}, {.id = 42, .at = 0}};
    round_files r = {.self = &self, .queries = asked, .n = 3};
    answers a = {.r = &r, .id_column = -1, .label_column = -1};
    snprintf(r.queries_path, sizeof r.queries_path, "queries.csv");
    if (each_row(self.host, file.path, answer_row, &a, &err) != DAL_OK)
        fuzz_complaint(&err);
    for (int i = 0; i < 3; i++)
        if (asked[i].line)
            MUST(asked[i].answer == DAL_ANSWER_CLASS ? asked[i].cls >= 0 && asked[i].cls < 3
                                                     : asked[i].answer <= DAL_ANSWER_ABSTAIN && asked[i].answer > 0);
    MUST(dal_runtime_allocated(rt) == 0);
    close(file.fd);
    return 0;
}
