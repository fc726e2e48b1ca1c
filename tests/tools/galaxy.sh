#!/usr/bin/env bash
# What Galaxy would say of the collection: build it, import it, check and render its documentation, lint what is in it.
# All of that from the built file, and none of it with the network. The rendered documentation goes to tests/output/docs.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
root=$PWD
export PATH=$root/.venv/bin:$PATH
# Whoever reads the documentation on Galaxy has no kubernetes.core: neither may this.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export ANSIBLE_COLLECTIONS_PATH=$work/collections ANSIBLE_HOME=$work/home
collection=$work/collections/ansible_collections/aigateway/metering

ansible-galaxy collection build --output-path "$work" >/dev/null
built=$(echo "$work"/aigateway-metering-*.tar.gz)
mkdir -p "$collection"
tar --extract --file "$built" --directory "$collection"

echo "galaxy-importer"
# It ends with 0 whatever it finds.
cat >"$work/importer.cfg" <<'CONFIG'
[galaxy-importer]
RUN_ANSIBLE_TEST = False
OFFLINE_ANSIBLE_LINT = True
CHECK_REQUIRED_TAGS = True
CONFIG
(cd "$work" && GALAXY_IMPORTER_CONFIG=$work/importer.cfg python -m galaxy_importer.main "$built" >importer.log 2>&1) || {
    cat "$work/importer.log"
    exit 1
}
# awx.awx is not there: only who sets up AWX needs it.
if grep -E '^(ERROR|WARNING)' "$work/importer.log" | grep -v "playbooks/awx.yml.*couldn't resolve module/action 'awx.awx"; then exit 1; fi

echo "antsibull-docs: lint"
(cd "$collection" && antsibull-docs lint-collection-docs --plugin-docs --validate-collection-refs self .)

echo "antsibull-docs: build"
docs=$root/tests/output/docs
rm -rf "$docs"
mkdir -p "$(dirname "$docs")"
mkdir -m 700 "$docs"
antsibull-docs sphinx-init --use-current --squash-hierarchy --fail-on-error --lenient --dest-dir "$docs" \
    --project aigateway.metering --title aigateway.metering --html-short-title aigateway.metering \
    --copyright 'aigateway.metering contributors' aigateway.metering >/dev/null
# What is documented elsewhere would be looked up there.
sed -i '/^intersphinx_mapping/,/^}/d' "$docs/conf.py"
echo "suppress_warnings = ['ref.ref']" >>"$docs/conf.py"
(cd "$docs" && SPHINXOPTS=-W ./build.sh >build.log 2>&1) || {
    tail -n 40 "$docs/build.log"
    exit 1
}

echo "ansible-lint"
# The configuration stays in the repository; changelog.yaml is written by antsibull-changelog.
(cd "$collection" && ansible-lint --profile production --offline --nocolor --format pep8 --exclude changelogs/ --exclude playbooks/awx.yml)
echo "galaxy: nothing to complain about, $(wc -c <"$built") bytes"
