#!/usr/bin/env bash
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may
# not use this file except in compliance with the License. You may obtain
# a copy of the License at
#
#      http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS, WITHOUT
# WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the
# License for the specific language governing permissions and limitations
# under the License.
#
# Unit tests with the oldest versions that our requirements allow: each lower
# bound, exactly, in a virtual environment that is made for this and removed.
#
#   tools/lower-constraints.sh [pytest options and paths]
#
# PYTHON (default: /usr/bin/python3) is the distribution's, for guestfs.

set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
PYTHON=${PYTHON:-/usr/bin/python3}
WORK=$(mktemp -d "${TMPDIR:-/var/tmp}/imagebuild-lower.XXXXXX")
trap 'rm -rf "$WORK"' EXIT

# Not what needs more than our requirements: Heat, benchmarks, the cloud. And
# not what takes long: it is the libraries that are looked at.
TESTS=(tests/unit --ignore=tests/unit/test_benchmarks.py
    --ignore=tests/unit/tools_cloud --ignore=tests/unit/heat_plugin
    --ignore=tests/unit/imagebuild_tempest_plugin
    --ignore=tests/unit/test_docs_examples.py)
[[ $# == 0 ]] || TESTS=("$@")

"$PYTHON" -m venv --system-site-packages "$WORK/venv"
"$PYTHON" tools/lower_bounds.py >"$WORK/constraints.txt"
pip() {
    "$WORK/venv/bin/python" -m pip install -qq --no-input \
        --disable-pip-version-check "$@" </dev/null
}
# Their metadata is asked of git as in tools/setup-host.sh.
commits=$(git rev-list --count HEAD 2>/dev/null) || commits=0
if ((commits < 2)); then
    PBR_VERSION=${PBR_VERSION:-$(sed -n 's/^version = //p' setup.cfg)}
    export PBR_VERSION
fi
SKIP_GENERATE_AUTHORS=1 SKIP_WRITE_GIT_CHANGELOG=1 \
    pip -c "$WORK/constraints.txt" \
    --editable '.[service,mysql,postgresql,client]' \
    pytest pytest-timeout requests-mock hypothesis gabbi
"$WORK/venv/bin/python" -m pytest -q -p no:cacheprovider "${TESTS[@]}" \
    </dev/null
