#!/usr/bin/env bash
# Make .venv and .collections in this clone. Quick, and without the network, when nothing it depends on has changed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

# The package that bundles kubernetes.core (6.2.0) and awx.awx, for machines that reach PyPI but no Galaxy.
ansible_package=ansible==12.3.0
# This clone's own .venv may be first on the PATH, and is about to be removed: the Python behind it is meant.
PATH=${PATH//"$PWD/.venv/bin:"/}
python=${PYTHON:-python3}
cache=${XDG_CACHE_HOME:-$HOME/.cache}/aigateway-metering
stamp=.venv/.setup
ours=.collections/ansible_collections/aigateway/metering
core=.collections/ansible_collections/kubernetes/core

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "setup: $python is older than 3.11 or missing; name a newer one in PYTHON." >&2
    exit 1
}

# The path counts too: a virtual environment does not survive being moved.
state=$({ cat tests/tools/setup.sh tests/requirements-dev.lock && "$python" -V && pwd; } | sha256sum)
if [[ -f $stamp && $(<"$stamp") == "$state" && -e $ours/galaxy.yml && -e $core/MANIFEST.json ]]; then
    touch "$stamp"
    echo "setup: up to date"
    exit
fi

rm -rf .venv
"$python" -m venv .venv || {
    rm -rf .venv
    echo "setup: this Python makes no virtual environments; on Debian, install the package python3-venv." >&2
    exit 1
}
# Compiling all of it would take as long as installing it; Python compiles what is used when it is first used.
.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-compile --require-hashes \
    --requirement tests/requirements-dev.lock

mkdir -p "$(dirname "$ours")" "$(dirname "$core")"
ln -sfn ../../.. "$ours"

wheel_dir=$cache/${ansible_package/==/-}
compgen -G "$wheel_dir/*.whl" >/dev/null ||
    .venv/bin/python -m pip download --quiet --disable-pip-version-check --no-deps --dest "$wheel_dir" "$ansible_package"
.venv/bin/python - "$wheel_dir"/*.whl .collections <<'PYTHON'
import sys
import zipfile

wheel, target = sys.argv[1:]
with zipfile.ZipFile(wheel) as archive:
    collections = ("ansible_collections/kubernetes/core/", "ansible_collections/awx/awx/")
    wanted = [name for name in archive.namelist() if name.startswith(collections)]
    archive.extractall(target, wanted)
PYTHON

# Last, so that an interrupted run is seen as such.
echo "$state" >"$stamp"
echo "setup: done"
