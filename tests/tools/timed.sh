#!/usr/bin/env bash
# timed.sh NAME COMMAND...    run COMMAND; say NAME before it, and its result and seconds after it
# timed.sh --each TARGET...   run `make TARGET` one after another, also after one that fails, and close with a table; only
#                             without `setup` nothing else is run
set -uo pipefail

run() { # NAME COMMAND...: sets `seconds` and `result`
    local began=$SECONDS status=0
    "${@:2}" || status=$?
    seconds=$((SECONDS - began)) result=ok
    ((status == 0)) || result="FAILED ($status)"
    return "$status"
}

if [[ ${1-} != --each ]]; then
    printf '\n==> %s\n' "$1"
    run "$@"
    status=$?
    printf '<== %s: %s, %d s\n' "$1" "$result" "$seconds"
    exit "$status"
fi

shift
table='' passed=0 failed=()
# Tests write here which of them took longest.
export SLOWEST=$PWD/tests/output/slowest.txt
rm -f "$SLOWEST"
for target in "$@"; do
    # Each target says its own name and time, by the form above.
    if run "$target" "${MAKE:-make}" --no-print-directory "$target"; then
        passed=$((passed + 1))
    else
        failed+=("$target")
    fi
    table+=$(printf '%-12s %6d s  %s' "$target" "$seconds" "$result")$'\n'
    [[ $target != setup || ${#failed[@]} == 0 ]] || break
done
printf '\n'
[[ ! -e $SLOWEST ]] || cat "$SLOWEST"
printf '\n%s%-12s %6d s\nparts: %d passed, %d failed' "$table" total "$SECONDS" "$passed" "${#failed[@]}"
printf '%s\n' "${failed:+: ${failed[*]}}"
((${#failed[@]} == 0))
