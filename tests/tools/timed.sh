#!/usr/bin/env bash
# timed.sh NAME COMMAND...    run COMMAND; say NAME before it, and its result and seconds after it
# timed.sh --each TARGET...   run `make TARGET` one after another up to the first that fails, and close with a table
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
table='' passed=0 failed=0
for target in "$@"; do
    # Each target says its own name and time, by the form above.
    run "$target" "${MAKE:-make}" --no-print-directory "$target" || failed=1
    passed=$((passed + 1 - failed))
    table+=$(printf '%-12s %6d s  %s' "$target" "$seconds" "$result")$'\n'
    ((failed == 0)) || break
done
printf '\n%s%-12s %6d s\nparts: %d passed, %d failed\n' "$table" total "$SECONDS" "$passed" "$failed"
exit "$failed"
