#!/usr/bin/env bash
# Run ansible-test sanity over the collection. Arguments go to ansible-test: sanity.sh --test validate-modules
#
# ansible-test wants the collection at .../ansible_collections/aigateway/metering and takes every file there for its own.
# So it gets a copy: what git tracks or would track, without tests/stand, which holds other programs and manifests.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
export PATH=$PWD/.venv/bin:$PATH

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
copy=$work/ansible_collections/aigateway/metering
mkdir -p "$copy" "$work/ansible_collections/kubernetes"

git ls-files -z --cached --others --exclude-standard --deduplicate -- ':!tests/stand' |
    while IFS= read -r -d '' file; do
        # Deleted in the working tree, but still in git's index: not part of what is tested.
        if [[ -e $file || -L $file ]]; then printf '%s\0' "$file"; fi
    done | tar --create --null --files-from - | tar --extract --directory "$copy"
cp -R .collections/ansible_collections/kubernetes/core "$work/ansible_collections/kubernetes/"

# ansible-test fetches get-pip from a site that not every machine reaches. Its own virtual environments can have pip from
# the Python that is there already; pip runs apart, because ansible-test loads this file with logging patched.
pip_version=$(python - <<'PYTHON'
import pathlib
import re

import ansible_test

# Which one, depends on the version of ansible-core.
text = (pathlib.Path(ansible_test.__file__).parent / "_internal" / "python_requirements.py").read_text()
print(re.search(r"pip='([\d.]+)'", text)[1])
PYTHON
)
get_pip=$HOME/.ansible/test/cache/get_pip_${pip_version//./_}.py
if [[ ! -e $get_pip ]]; then
    mkdir -p "$(dirname "$get_pip")"
    cat >"$get_pip" <<PYTHON
import subprocess
import sys

subprocess.check_call([sys.executable, "-m", "ensurepip"])
subprocess.check_call([sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "pip==$pip_version"])
PYTHON
fi

cd "$copy"
python_version=$(python -c 'import sys; print("%d.%d" % sys.version_info[:2])')
ansible-test sanity --color no --python "$python_version" "$@"
