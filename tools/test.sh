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
# pre-commit, the unit tests, and the integration tests with real disk images.
#
#   tools/test.sh [pytest options and paths]
#
# Paths given replace the default tests/unit tests/integration. A JUnit report
# is left in test-results/. pytest's summary is the last thing printed. The
# exit code is pytest's, or 1 if only pre-commit failed.

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

paths=()
for argument in "$@"; do
    [[ -e ${argument%%::*} ]] && paths+=("$argument")
done
if [[ ${#paths[@]} == 0 ]]; then
    set -- "$@" tests/unit
    [[ ! -d tests/integration ]] || set -- "$@" tests/integration
fi

mkdir -p "$RESULTS"
[[ $lint == 0 ]] || printf '\ntest: PRE-COMMIT FAILED, see above\n\n'
rc=0
pytest --junitxml="$RESULTS/junit.xml" "$@" </dev/null || rc=$?
[[ $rc != 0 ]] || rc=$lint
exit "$rc"
