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
#   tools/lower-constraints.sh [--quick] [pytest options and paths]
#
# --quick leaves out what has little to do with libraries, and is what CI runs.
# PYTHON (default: /usr/bin/python3) is the distribution's, for guestfs.

set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
PYTHON=${PYTHON:-/usr/bin/python3}
WORK=$(mktemp -d "${TMPDIR:-/var/tmp}/imagebuild-lower.XXXXXX")
trap 'rm -rf "$WORK"' EXIT

# Not what needs more than our requirements: Heat, benchmarks, the cloud.
TESTS=(tests/functional/{api,cmd,conf,db,manifest,stores}
    tests/functional/test_{database_crowds,extensions,job_processes}.py
    tests/functional/test_{job_program,launch,wsgi}.py
    tests/unit --ignore=tests/unit/test_benchmarks.py
    --ignore=tests/unit/tools_cloud --ignore=tests/unit/heat_plugin
    --ignore=tests/unit/imagebuild_tempest_plugin)
if [[ ${1:-} == --quick ]]; then
    shift
    # Where libraries are used.
    TESTS=(tests/functional/{api,cmd,conf,db,manifest,stores}
        tests/functional/test_{job_processes,wsgi}.py
        tests/unit/{api,client,clients,cmd,conductor,conf,policies}
        tests/unit/{description,manifest/validators,recipes,stores}
        tests/unit/test_{context,layers,lower_bounds}.py)
fi
for argument in "$@"; do
    # Paths take the place of all these.
    [[ ! -e ${argument%%::*} ]] || TESTS=()
done

"$PYTHON" -m venv --system-site-packages "$WORK/venv"
"$PYTHON" tools/lower_bounds.py >"$WORK/constraints.txt"
# A copy is installed: an editable install leaves its metadata in the checkout,
# where another environment's is.
mkdir "$WORK/source"
if git rev-parse --is-inside-work-tree >/dev/null 2>&1; then
    git ls-files -z --cached --others --exclude-standard
else
    find . -name '.?*' -prune -o -type f -print0
fi | tar --create --null --files-from - --ignore-failed-read \
    | tar --extract --directory "$WORK/source"
cd "$WORK/source"
PBR_VERSION=$(sed -n 's/^version = //p' setup.cfg)
export PBR_VERSION
"$WORK/venv/bin/python" tools/pip_install.py -c "$WORK/constraints.txt" \
    --editable '.[service,ssh,packer,mysql,postgresql,client,dib]' \
    pytest pytest-timeout requests-mock hypothesis gabbi \
    openapi-spec-validator \
    spdx-tools packageurl-python cursive in-toto-attestation
"$WORK/venv/bin/python" tools/lower_bounds.py --installed
nice "$WORK/venv/bin/python" -m pytest -q -p no:cacheprovider \
    "${TESTS[@]}" "$@" </dev/null
