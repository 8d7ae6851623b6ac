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
import json
from collections.abc import Mapping

import pytest

from imagebuild.distros import debian
from imagebuild.manifest.validators import pip_state
from imagebuild.remotes import fake
from tests.unit.manifest.validators import guest

PROBE = ['/bin/sh', '-c', pip_state.LOOK.text]


def told(found: Mapping[str, object]) -> fake.Answer:
    return fake.Answer(
        json.dumps(
            {
                'pip': True,
                'found': {
                    name: value if isinstance(value, list) else [value, None]
                    for name, value in found.items()
                },
                'environment': {'python_version': '3.11'},
            }
        )
    )


@pytest.mark.parametrize(
    'text, wrong',
    [
        ('pip: []', 'it must not be empty'),
        ('pip: {}', '"requirements" is missing'),
        ('pip: [a b]', 'pip[0]: it is not a requirement'),
        ('pip: [-r x]', 'pip[0]: it is not a requirement'),
        ('pip: [--index-url=x]', 'pip[0]: it is not a requirement'),
        ('pip: {requirements: [a], virtualenv: x}', 'not an absolute path'),
        ('pip: {requirements: [a], index_url: x}', 'it is not an http'),
        ('pip: {requirements: [a], index_url: "{{ n }}"}', 'neither decl'),
        ('pip: {requirements: [a], extra: x}', 'unknown key'),
    ],
)
def test_bad_forms(text: str, wrong: str) -> None:
    assert any(wrong in error for error in guest.errors(text))


@pytest.mark.parametrize(
    'wanted, found, wrong',
    [
        ('Flask', {'flask': '2.0'}, ''),
        ('ruamel_yaml[x]>=0.1', {'ruamel.yaml': '0.19'}, ''),
        ('flask<2', {'flask': '2.0'}, 'flask is 2.0, not <2'),
        ('flask', {}, 'flask is not installed'),
        ('flask>=2', {'flask': '3.0rc1'}, ''),
        ('flask>=2', {'flask': 'odd version'}, 'is odd version'),
        ('flask; python_version<"3"', {}, ''),
        (
            'a @ git+https://u:p@h.example/r@v1',
            {
                'a': [
                    '1',
                    {
                        'url': 'https://h.example/r',
                        'vcs_info': {'requested_revision': 'v1'},
                    },
                ]
            },
            '',
        ),
        ('a @ https://h.example/b', {'a': '1', 'pip': '23.0'}, 'from that'),
        ('a @ https://h.example/b', {'a': '1', 'pip': '9.0'}, ''),
    ],
)
def test_differences(
    wanted: str, found: dict[str, object], wrong: str
) -> None:
    remote = guest.debian()
    remote.on(PROBE, told(found))
    loaded = guest.load(f"pip: ['{wanted}']")
    if wrong:
        assert wrong in guest.failure(loaded, remote, reconcile=False)
    else:
        assert loaded.run(remote).steps[0].result == 'ok'
    assert len(remote.commands) == 1


def test_install_hides_the_index() -> None:
    remote = guest.debian()
    remote.on(PROBE, told({}), told({}), told({'six': '1.16'}))
    guest.answer(
        remote,
        pip_state.INSTALL,
        fake.Answer('Looking in https://u:hush-hush@h.example/s by u\n'),
    )
    loaded = guest.load(
        """
        pip:
          requirements: [six]
          index_url: https://u:{{ secret }}@h.example/s
        """
    )
    report = loaded.run(remote)
    [install] = [item for item in remote.commands if item.env]
    assert install.env['PIP_BREAK_SYSTEM_PACKAGES'] == '1'
    assert install.env['PIP_INDEX_URL'] == 'https://u:hush-hush@h.example/s'
    assert 'hush' not in str(report.to_dict()) + ' '.join(install.argv)
    assert 'Looking' in report.steps[0].output


def test_failure_hides_the_index() -> None:
    remote = guest.debian()
    remote.on(PROBE, told({}))
    guest.answer(
        remote,
        pip_state.INSTALL,
        fake.Answer(stderr='no https://u:pw@h.example/s\n', exit_code=1),
    )
    loaded = guest.load(
        'pip: {requirements: [six], index_url: "https://u:pw@h.example/s"}'
    )
    assert guest.failure(loaded, remote) == 'no ***'
    assert 'h.example' not in str(loaded.validators[0].key())


def test_pip_is_brought_when_it_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    installed = []
    monkeypatch.setattr(
        'imagebuild.manifest.package_cache.PackageCache.missing',
        lambda self, packages: list(packages),
    )
    monkeypatch.setattr(
        'imagebuild.manifest.package_cache.PackageCache.install',
        lambda self, packages, on_output: installed.extend(packages),
    )
    remote = guest.debian()
    remote.on(
        PROBE, fake.Answer('null'), fake.Answer('null'), told({'six': '1'})
    )
    guest.answer(remote, pip_state.INSTALL)
    guest.load('pip: {requirements: [six], virtualenv: /opt/v}').run(remote)
    assert tuple(installed) == debian.Debian.pip_packages
    [install] = [item for item in remote.commands if item.env]
    assert install.argv[4:] == ('/opt/v', 'six')
    assert 'PIP_BREAK_SYSTEM_PACKAGES' not in install.env
