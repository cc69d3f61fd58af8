/* dalhost dataset export: a dataset, after its transforms, as one file for other programs. */
#include "cli/dataset.h"
#include "cli/events.h"
#include "dataset/examine.h"
#include "dataset/write.h"
#include "util/text.h"

static int export_main(const cli_args *a)
{
    opened o;
    uint32_t split = DAL_SPLITS;
    dal_error err = DAL_ERROR_INIT;
    const char *path = cli_value(a, "output");
    if (!path || !*path)
        return cli_bad(a, "where to? expected -o FILE.npz, FILE.csv or FILE.svm");
    if (!split_option(a, &split))
        return EXIT_BAD_INPUT;
    int code = dataset_resolve(a, cli_operand(a, 0), &o);
    if (code == EXIT_OK || o.cards)
        code = dataset_open(a, &o);
    if (code == EXIT_OK) {
        const dal_status st = dataset_write(path, o.source, composer_host(o.composer, "export"), split, &err);
        events_clear();
        if (st == DAL_OK)
            printf("written to %s\n", path);
        else
            code = cli_error(a, st == DAL_E_INVALID     ? EXIT_BAD_INPUT
                                : st == DAL_E_CANCELLED ? EXIT_INTERRUPTED
                                                        : EXIT_FAILED, &err);
    }
    dataset_close(&o);
    return code;
}

static const cli_option options[] = {
    {"output", 'o', "FILE", false, "where to; .npz, .csv or .svm says what it becomes"},
    {"split", 0, "SPLIT", false, "train, validation or test alone (default: all there are)"},
    DATASET_OPTIONS,
    {0},
};

const cli_command cmd_dataset_export = {
    .name = "dataset export",
    .operands = "[NAME]",
    .max_operands = 1,
    .summary = "write a dataset as one .npz, .csv or .svm file",
    .description =
        "NAME, --set and --manifest are those of dalhost dataset inspect. The file is there whole or not at all.\n\n"
        ".npz: of images the arrays train_images, train_labels, val_images, ... as MedMNIST has them, of vectors "
        "x_train, y_train, x_val, ...; classes count from 0, -1 is a sample without a label, -2 one of none of the "
        "classes.\n\n"
        ".csv: a row a sample: the class by name (empty without one), then the text or the numbers; the split comes "
        "first when there are several.\n\n"
        ".svm: LIBSVM's lines, for sparse samples and numbers, of one split.",
    .options = options,
    .examples = "  dalhost dataset export mnist -o mnist.npz\n"
                "  dalhost dataset export iris --split test -o iris-test.csv\n"
                "  dalhost dataset export --manifest fashion-mnist-imbalanced -o tail.npz\n",
    .main = export_main,
};
