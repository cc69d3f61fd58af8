#!/usr/bin/env bash
# Models trained once on all labels of real data: test accuracy beside what they must reach, seconds, processor seconds.
#
#     accuracy.sh DALHOST [WORD...]     the lines of the table with one of these words, as in lenet or trec; all but the
#                                       long ones
#
# One line a model and seed. Exits with 1 where one misses. Data are looked for as DAL_DATA_PATH says; what is not there is skipped.
# Accuracies are the same in each run on machines whose processors have the same vector instructions.
set -u
LC_ALL=C; export LC_ALL
dalhost=$1; shift
tmp=$(mktemp -d "${TMPDIR:-/tmp}/dalhost-accuracy.XXXXXX") || exit 99
trap 'rm -rf "$tmp"' EXIT
missed=0

# dataset|labels|seeds|least|model. least: - where nothing was asked. long: minutes to an hour.
table='
trec|5452|1 2 3|0.86|{use: textcnn}
trec|5452|1 2 3|0.84|{use: fasttext}
trec|5452|1 2 3|-|{use: bilstm}
trec|5452|1 2 3|-|{use: transformer}
sst-2|6920|1 2 3|-|{use: fasttext}
sst-2|6920|1|-|{use: textcnn, epochs: 8}
ag-news|8814|1 2 3|-|{use: fasttext}
ag-news|8814|1|-|{use: textcnn, epochs: 8}
imdb|25000|1 2 3|0.87|{use: fasttext, epochs: 5}
mnist|60000|1 2|0.99|{use: lenet, epochs: 8}
fashion-mnist|60000|1|0.91|{use: lenet, epochs: 20, schedule: cosine}
cifar-10|10000|1|-|{use: resnet18, epochs: 10} long
fashion-mnist|60000|1|0.93|{use: resnet18, epochs: 6, crop: 2, precision: auto} long
'

wanted() { # wanted LINE WORD...: is a word in it, or is there none and the line not long?
    local line=$1 word; shift
    for word; do
        case $line in *"$word"*) return 0 ;; esac
    done
    [ $# = 0 ] && [ "${line% long}" = "$line" ]
}

train() { # train DATASET LABELS SEED LEAST MODEL
    cat > "$tmp/m.yaml" <<END
dalhost: 1
dataset: $1
model: $5
strategy: random
initial: {size: $2}
query: {rounds: 0}
seed: $3
END
    local what="accuracy dataset=$1 labels=$2 model=\"$5\" seed=$3" times accuracy met=-
    rm -f "$tmp"/*.sqlite*
    TIMEFORMAT='seconds=%R cpu_seconds=%U'
    times=$({ time "$dalhost" run "$tmp/m.yaml" --json -o "$tmp/a.sqlite" >"$tmp/out" 2>"$tmp/err"; } 2>&1)
    accuracy=$(sed -nE 's/.*"event":"round".*"accuracy":([0-9.]+).*/\1/p' "$tmp/out")
    if [ -z "$accuracy" ]; then
        echo "$what: $(tail -n 1 "$tmp/err")"
        missed=1
        return
    fi
    if [ "$4" != - ]; then
        met=$(awk -v a="$accuracy" -v b="$4" 'BEGIN { print (a >= b ? "yes" : "no") }')
        [ $met = yes ] || missed=1
    fi
    printf '%s accuracy=%.4f least=%s met=%s %s\n' "$what" "$accuracy" "$4" $met "$times"
}

while IFS='|' read -r dataset labels seeds least model; do
    if [ -z "$dataset" ] || ! wanted "$dataset $model" "$@"; then
        continue
    fi
    if ! "$dalhost" dataset inspect "$dataset" >/dev/null 2>"$tmp/err"; then
        echo "accuracy dataset=$dataset model=\"${model% long}\" skipped: $(head -n 1 "$tmp/err")"
        continue
    fi
    for seed in $seeds; do
        train "$dataset" "$labels" "$seed" "$least" "${model% long}"
    done
done <<< "$table"
exit $missed
