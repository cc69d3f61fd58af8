# A small run with it, from the manifest beside this file: what `make test` runs after the conformance suite.
set -eu
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT

"$DALHOST" check --plugins . try.yaml
"$DALHOST" run --plugins . try.yaml -o "$dir/try.sqlite"
echo "test.sh: the run went through"
