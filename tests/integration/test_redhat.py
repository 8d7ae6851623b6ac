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
"""The Red Hat family, through imagebuild-pack, with the real rpm and dnf.

Each run checks several things: an appliance takes ten seconds to start.
"""

import hashlib
import json
import pathlib
import shutil
import subprocess
import sys
from typing import Any

import pytest
from spdx_tools.spdx.parser import parse_anything
from spdx_tools.spdx.validation import document_validator

from imagebuild.drivers import isolations

PROGRAM = pathlib.Path(sys.executable).parent / 'imagebuild-pack'

PINNED = """\
validators:
- os_case:
  - debian:
    - package: not-for-this-family
  - redhat:
    - package:
      - demo-tool: {version: '%s'}
      - virtual-demo
- any:
  - package: no-such-package
  - package: nfs-utils
- os_case:
  - centos-9:
    - script:
        says its version: {inline: 'demo-tool | grep -q "1[.]0"'}
    - script:
        lists all:
          inline: |
            all=$(rpm -qa --qf '%%{NAME}-%%{VERSION}\\n' | sort | xargs)
            [ "$all" = 'demo-lib-1.0 demo-tool-1.0 nfs-utils-2.5.4' ] ||
                { echo "$all"; exit 1; }
"""
BROKEN = 'validators: [{package: nfs-utils}, {package: broken-demo}]\n'


@pytest.fixture(scope='module')
def packed(
    isolation: isolations.Isolation,
    redhat_image: pathlib.Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[pathlib.Path, dict[str, Any]]:
    """An image packed with PINNED, and the report of that."""
    image = tmp_path_factory.mktemp('packed') / 'redhat.qcow2'
    shutil.copyfile(redhat_image, image)
    done = _pack(image, isolation, PINNED % '1.0', '--sbom', str(_sbom(image)))
    assert done.returncode == 0, done.stderr
    return image, json.loads(done.stdout)


def _pack(
    image: pathlib.Path,
    isolation: isolations.Isolation,
    manifest: str,
    *options: str,
) -> subprocess.CompletedProcess[str]:
    path = image.with_suffix('.yaml')
    path.write_text(manifest)
    return subprocess.run(
        [
            *(PROGRAM, '--image', image, '--manifest', path),
            *('--isolation', isolation, '--json', *options),
        ],
        capture_output=True,
        text=True,
    )


def _sbom(image: pathlib.Path) -> pathlib.Path:
    return image.with_suffix('.spdx.json')


def _checksum(image: pathlib.Path) -> str:
    with image.open('rb') as stream:
        return hashlib.file_digest(stream, 'sha256').hexdigest()


@pytest.mark.both_isolations
def test_packages_are_installed(packed: tuple[pathlib.Path, Any]) -> None:
    _, report = packed
    text = json.dumps(report)
    assert 'demo-tool (1.0)' in text
    assert 'not-for-this-family' not in text


def test_all_packages_are_in_the_sbom(
    packed: tuple[pathlib.Path, dict[str, Any]],
) -> None:
    image, _ = packed
    path = str(_sbom(image))
    found = parse_anything.parse_file(path)
    assert document_validator.validate_full_spdx_document(found) == []
    listed = {
        f'{each.name}-{str(each.version).rpartition("-")[0]}'
        for each in found.packages
        if each.spdx_id.startswith('SPDXRef-rpm-')
    }
    # As the step of PINNED has found that rpm -qa does.
    assert listed == {'demo-lib-1.0', 'demo-tool-1.0', 'nfs-utils-2.5.4'}


def test_a_second_pack_changes_nothing(
    packed: tuple[pathlib.Path, Any],
    isolation: isolations.Isolation,
) -> None:
    image, _ = packed
    before = _checksum(image)
    # Without the script: one may change something whenever it runs.
    manifest = (PINNED % '1.0').rpartition('- os_case:')[0]
    done = _pack(image, isolation, manifest)
    assert done.returncode == 0, done.stderr
    assert 'installed demo-tool' not in done.stdout
    assert _checksum(image) == before


def test_another_version_does_not_conform(
    packed: tuple[pathlib.Path, Any],
    isolation: isolations.Isolation,
) -> None:
    image, _ = packed
    before = _checksum(image)
    done = _pack(image, isolation, PINNED % '2.0', '--test-only')
    assert done.returncode == 1
    assert 'demo-tool (2.0) is installed at version 1.0-1' in done.stderr
    # Lines of progress come before it; the alternative held.
    told = done.stderr.partition('does not conform')[2]
    assert 'demo-tool' in told
    assert 'no-such-package' not in told
    assert _checksum(image) == before


def test_a_failure_leaves_the_file_alone(
    isolation: isolations.Isolation,
    redhat_image: pathlib.Path,
    tmp_path: pathlib.Path,
) -> None:
    image = tmp_path / 'redhat.qcow2'
    shutil.copyfile(redhat_image, image)
    before = _checksum(image)
    done = _pack(image, isolation, BROKEN)
    assert done.returncode == 1
    assert 'broken-demo is broken' in done.stdout + done.stderr
    assert _checksum(image) == before
