# Known probabilities, known picks: what `make test` runs after the conformance suite.
set -eu
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT

# A float32 number of eighths, as its four bytes.
eighths() {
    for x in "$@"; do
        case $x in
            0) printf '\000\000\000\000' ;; 1) printf '\000\000\000\076' ;;
            2) printf '\000\000\200\076' ;; 3) printf '\000\000\300\076' ;;
            4) printf '\000\000\000\077' ;; 6) printf '\000\000\100\077' ;;
            8) printf '\000\000\200\077' ;;
        esac
    done
}
{
    # numpy's .npy header, padded to 128 bytes
    printf '\223NUMPY\001\000\166\000%-117s\n' "{'descr': '<f4', 'fortran_order': False, 'shape': (5, 3), }"
    eighths 4 2 2 # row 0: gap 0.25
    eighths 6 1 1 # row 1: gap 0.625
    eighths 3 3 2 # row 2: gap 0
    eighths 4 3 1 # row 3: gap 0.125
    eighths 8 0 0 # row 4: gap 1
} > "$dir/probs.npy"

"$DALHOST" select --plugins . --strategy @ID@ --probs "$dir/probs.npy" --query 3 -o "$dir/picks.csv"
got=$(tail -n +2 "$dir/picks.csv" | cut -d, -f2 | tr '\n' ' ') # rows, in the order picked
[ "$got" = "2 3 0 " ] || { echo "picked $got, expected 2 3 0"; exit 1; }
echo "test.sh: picks as expected"
