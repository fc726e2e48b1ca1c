#!/usr/bin/env bash
# Write tests/requirements-dev.lock: every package that tests use, also those that others need, with its files' hashes.
# With --audit, ask PyPI instead whether one of them is known to be vulnerable.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

lock=tests/requirements-dev.lock
tools=.cache/pins
[[ -x $tools/bin/uv && -x $tools/bin/pip-audit ]] || {
    "${PYTHON:-python3}" -m venv "$tools"
    "$tools/bin/pip" install --quiet --disable-pip-version-check uv==0.13.9 pip-audit==2.10.1
}
if [[ ${1:-} == --audit ]]; then
    exec "$tools/bin/pip-audit" --require-hashes --disable-pip --strict --requirement "$lock"
fi
{
    echo "# Every package that tests use, with the hashes of its files. \`make pins\` writes it from requirements-dev.txt."
    "$tools/bin/uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
        tests/requirements-dev.txt
} >"$lock.new"
mv "$lock.new" "$lock"
