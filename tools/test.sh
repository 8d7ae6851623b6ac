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
# Makes this host ready and runs everything that can be checked on it:
# pre-commit, the tests of the Heat plugin in Heat's own engine, the unit and
# functional tests, the integration tests with real disk images and databases,
# and the cloud tests with a real OpenStack on the loopback interface.
#
#   tools/test.sh [pytest options and paths]
#
# Paths given replace all of these but pre-commit. JUnit reports are left in
# test-results/. The summary of the last and largest pytest run is the last
# thing printed. The exit code is pytest's, or 1 if only pre-commit failed.

set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
VENV=${VENV:-$PWD/.venv}
export VENV
RESULTS=${TEST_RESULTS:-test-results}

tools/setup-host.sh test
PATH=$VENV/bin:$PATH

lint=0
if ! command -v git >/dev/null || [[ ! -e .git ]]; then
    echo 'test: not a git checkout, pre-commit is left out'
elif ! git rev-parse --is-inside-work-tree >/dev/null 2>&1; then
    echo 'test: git refuses to read this checkout, pre-commit is left out'
else
    pre-commit run --all-files --show-diff-on-failure --color never \
        </dev/null || lint=1
fi

# Heat is not among our requirements: its tests run in the environment that
# the cloud's services have.
heat=0
heat_tests() {
    local folder
    folder=$(PYTHONPATH=. /usr/bin/python3 -m tools.cloud environment) \
        || return 1
    "$folder/bin/python" -m pytest --junitxml="$RESULTS/heat.xml" -W ignore \
        tests/heat </dev/null
}

paths=()
for argument in "$@"; do
    [[ -e ${argument%%::*} ]] && paths+=("$argument")
done
mkdir -p "$RESULTS"
if [[ ${#paths[@]} == 0 ]]; then
    heat_tests || heat=1
    set -- "$@" tests/unit tests/functional tests/integration tests/cloud
fi

[[ $lint == 0 ]] || printf '\ntest: PRE-COMMIT FAILED, see above\n\n'
[[ $heat == 0 ]] || printf '\ntest: THE TESTS OF HEAT FAILED, see above\n\n'
rc=0
pytest --junitxml="$RESULTS/junit.xml" --durations=25 "$@" </dev/null || rc=$?
[[ $rc != 0 ]] || rc=$((lint || heat))
exit "$rc"
