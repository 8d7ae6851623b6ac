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
"""The validators that Sahara has, in both modes, on a real disk.

One guest for the whole module: its tests run in the order written.
"""

import json
import pathlib
from collections.abc import Iterator
from typing import Any

import pytest

from imagebuild import exception
from imagebuild import manifest
from imagebuild.drivers import isolations
from imagebuild.manifest import monitors
from imagebuild.manifest import reports
from imagebuild.remotes import base as remotes_base
from imagebuild.remotes import disk_remote
from tests.integration import guests

pytestmark = pytest.mark.timeout(600)

SECRET = 'hush-hush-4711'


@pytest.fixture(scope='module')
def remote(
    isolation: isolations.Isolation,
    minimal_image: pathlib.Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[disk_remote.DiskRemote]:
    directory = tmp_path_factory.mktemp('core')
    with guests.opened(isolation, minimal_image, directory) as opened:
        yield opened


def load(text: str, **resources: str) -> manifest.Manifest:
    return manifest.load(
        text,
        resources={f'{name}.sh': body for name, body in resources.items()},
    )


def results(report: reports.Report) -> list[str]:
    return [str(step.result) for step in report.steps]


def sh(remote: remotes_base.Remote, script: str) -> str:
    return remote.run(['/bin/sh', '-c', script]).stdout.strip()


# -- package ----------------------------------------------------------------

PACKAGES = """
validators:
  - package: hello
  - package: [netbase, tini]
"""


def installed(remote: remotes_base.Remote) -> str:
    return sh(remote, "dpkg-query -W -f '${Package} ${Version} ${Status}\\n'")


@pytest.mark.both_isolations
def test_packages_are_installed(remote: disk_remote.DiskRemote) -> None:
    """Also: resolv.conf is a file here, and is as it was afterwards."""
    # Not by a command: it is shown another one.
    remote.remove_file('/etc/resolv.conf')
    remote.write_file('/etc/resolv.conf', b'# mine\n')
    loaded = load(PACKAGES)
    before = installed(remote)
    with pytest.raises(exception.NotConforming) as caught:
        loaded.run(remote, reconcile=False)
    # Every missing one is named, not only the first.
    assert 'hello is not installed' in str(caught.value)
    assert 'tini is not installed' in str(caught.value)
    assert installed(remote) == before
    report = loaded.run(remote)
    assert set(results(report)) == {'changed'}
    assert remote.read_file('/etc/resolv.conf') == b'# mine\n'
    assert results(loaded.run(remote, reconcile=False)) == ['ok', 'ok']


@pytest.mark.both_isolations
def test_a_second_run_installs_nothing(remote: disk_remote.DiskRemote) -> None:
    before = installed(remote)
    report = load(PACKAGES).run(remote)
    assert results(report) == ['ok', 'ok']
    assert not report.changed
    assert installed(remote) == before


def test_a_provided_name_counts(remote: disk_remote.DiskRemote) -> None:
    assert 'not found' in sh(remote, 'dpkg -s awk 2>&1 || echo not found')
    loaded = load('validators:\n  - package: awk\n')
    assert results(loaded.run(remote, reconcile=False)) == ['ok']
    assert results(loaded.run(remote)) == ['ok']


@pytest.mark.both_isolations
def test_pins_and_what_was_removed(remote: disk_remote.DiskRemote) -> None:
    """Also: resolv.conf is a dangling link here, and still is afterwards."""
    version = sh(remote, "dpkg-query -W -f '${Version}' hello")
    wrong = load('validators:\n  - package: {hello: {version: "0.1"}}\n')
    with pytest.raises(
        exception.NotConforming,
        match=f'hello .0.1. is installed at .*{version}',
    ):
        wrong.run(remote, reconcile=False)
    sh(remote, 'dpkg -P hello; dpkg -r --force-depends netbase')
    assert 'config-files' in sh(remote, "dpkg -s netbase | grep '^Status'")
    link = '/nowhere/stub-resolv.conf'
    # Not by a command, either.
    handle = remote._handle  # noqa: SLF001
    remote.remove_file('/etc/resolv.conf')
    handle.ln_s(link, '/etc/resolv.conf')
    loaded = load(
        'validators:\n'
        f'  - package: [netbase, {{hello: {{version: "{version}"}}}}]\n'
    )
    with pytest.raises(exception.NotConforming) as caught:
        loaded.run(remote, reconcile=False)
    assert 'netbase is not installed' in str(caught.value)
    assert 'hello' in str(caught.value)
    assert results(loaded.run(remote)) == ['changed']
    assert results(loaded.run(remote)) == ['ok']
    assert results(loaded.run(remote, reconcile=False)) == ['ok']
    assert handle.readlink('/etc/resolv.conf') == link
    assert sh(remote, '[ -e /nowhere ] || echo none') == 'none'


@pytest.mark.both_isolations
def test_an_unknown_package_names_the_step(
    remote: disk_remote.DiskRemote,
) -> None:
    loaded = load('validators:\n  - package: no-such-package-at-all\n')
    with pytest.raises(exception.StepFailed) as caught:
        loaded.run(remote)
    assert caught.value.path == 'validators[0].package'
    assert caught.value.command_exit_code == 100
    assert str(caught.value).startswith(
        "validators[0].package: package 'no-such-package-at-all' is not "
        'known to apt of this image (debian-12)'
    )
    assert 'no-such-package-at-all' in caught.value.output
    assert sh(remote, '[ -e /usr/sbin/policy-rc.d ] || echo none') == 'none'


@pytest.mark.both_isolations
def test_names_are_resolved(remote: disk_remote.DiskRemote) -> None:
    host = sh(
        remote,
        'cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null'
        " | grep -v '^#' | grep -o '[a-z]*://[^/ ]*' | head -n 1"
        " | sed 's,.*://,,; s,:.*,,'",
    )
    assert host
    assert sh(remote, f'getent hosts {host} || getent ahosts {host}')


# -- script -----------------------------------------------------------------

SCRIPTS = """
arguments:
  plain: {default: "it's \\"quoted\\" $HOME `id`"}
  with-dash: {default: dashed, target_variable: TARGET}
  unasked: {default: nothing}
validators:
  - script: bare.sh
  - script: {asked.sh: {env_vars: [plain, with-dash, nobody]}}
  - script: {asked.sh: {arguments: [plain, with-dash]}}
  - script: {asked.sh: [{env_vars: [plain, with-dash]}, {output: LISTED}]}
  - script: {label: {inline: "echo one; echo two; echo", output: TEXT}}
  - script:
      shown:
        inline: 'printf "[%s]" "$TEXT" "$LISTED"'
        env_vars: [TEXT, LISTED]
  - script: {perl: {inline: "#!/usr/bin/perl\\nprint $^X, qq(\\n)"}}
  - script: {bash: {inline: 'echo "bash ${BASH_VERSION%%.*} $(pwd)"'}}
"""
BARE = """#!/bin/sh
echo "$distro $test_only $reconcile ${plain-unset} $(pwd) $(id -u)"
echo "$DEBIAN_FRONTEND $(wc -c)"
[ -t 0 ] && echo terminal
:
"""
ASKED = """#!/bin/sh
printf '%s|' "$plain" "$with_dash" "$TARGET" "${nobody-unset}" "${unasked-no}"
"""


@pytest.mark.both_isolations
@pytest.mark.parametrize('reconcile', [False, True])
def test_scripts(remote: disk_remote.DiskRemote, reconcile: bool) -> None:
    loaded = load(SCRIPTS, bare=BARE, asked=ASKED)
    report = loaded.run(remote, reconcile=reconcile)
    assert results(report) == ['ran' if reconcile else 'ok'] * 8
    told = [step.output for step in report.steps]
    modes = '0 1' if reconcile else '1 0'
    assert told[0] == f'debian {modes} unset / 0\nnoninteractive 0'
    asked = 'it\'s "quoted" $HOME `id`|dashed|dashed|unset|no|'
    assert told[1:4] == [asked] * 3
    # One newline less than what it printed.
    assert told[5] == f'[one\ntwo\n][{asked}]'
    assert told[6] == '/usr/bin/perl'
    assert told[7].startswith('bash 5')
    assert told[7].endswith(' /')
    left = sh(remote, 'ls -A /tmp | grep imagebuild || echo none')
    assert left == 'none'


def test_a_failing_script_is_described(remote: disk_remote.DiskRemote) -> None:
    loaded = load(
        'validators:\n  - script: bad.sh\n  - script: good.sh\n'
        '  - script: bad.sh\n',
        bad='echo on the way; echo trouble >&2; exit 7',
        good='echo well',
    )
    with pytest.raises(exception.StepFailed) as caught:
        loaded.run(remote)
    failed = caught.value
    assert failed.path == 'validators[0].script'
    assert failed.command == 'bad.sh'
    assert failed.command_exit_code == 7
    assert 'on the way' in failed.output
    assert 'trouble' in failed.output
    assert results(failed.report) == ['failed']
    with pytest.raises(exception.NotConforming) as every:
        loaded.run(remote, reconcile=False)
    assert results(every.value.report) == ['failed', 'ok', 'failed']


def test_a_script_has_a_time_limit(remote: disk_remote.DiskRemote) -> None:
    loaded = load(
        'validators:\n  - script: {x: {inline: "sleep 99", timeout: 2}}\n'
    )
    with pytest.raises(exception.StepFailed, match='stopped after 2 seconds'):
        loaded.run(remote)


@pytest.mark.both_isolations
def test_copied_scripts(remote: disk_remote.DiskRemote) -> None:
    loaded = load(
        """
validators:
  - copy_script: lib.sh
  - copy_script: {other.sh: {}}
  - script: use.sh
""",
        lib='from_lib() { echo sourced; }; echo ran >/var/lib-ran\n',
        other='exit 1\n',
        use='if [ $test_only = 1 ]; then [ ! -e /tmp/lib.sh ]; exit; fi\n'
        '[ ! -e /var/lib-ran ] || exit 5\n[ -e /tmp/other.sh ] || exit 6\n'
        '. /tmp/lib.sh; from_lib; rm /var/lib-ran\n',
    )
    loaded.run(remote, reconcile=False)
    report = loaded.run(remote)
    assert report.steps[-1].output == 'sourced'
    assert sh(remote, 'ls /tmp') == ''


# -- cases and arguments ----------------------------------------------------


@pytest.mark.parametrize('reconcile', [False, True])
@pytest.mark.parametrize(
    'names, taken',
    [
        ('[redhat, debian, debian-12]', 'debian'),
        ('[debian-12, debian]', 'debian-12'),
        ('[debian-11, ubuntu, Debian]', 'Debian'),
        ('[suse, centos7]', None),
    ],
)
def test_os_case(
    remote: disk_remote.DiskRemote,
    names: str,
    taken: str | None,
    reconcile: bool,
) -> None:
    branches = [
        {name: [{'script': {name: {'inline': f'echo {name}'}}}]}
        for name in names.strip('[]').split(', ')
    ]
    loaded = manifest.load({'validators': [{'os_case': branches}]})
    report = loaded.run(remote, reconcile=reconcile)
    told = [step.output for step in report.steps]
    assert told == ([taken] if taken else [])


CASES: dict[str, Any] = {
    'arguments': {'size': {'default': 1}},
    'validators': [
        {'argument_set': {'argument_name': 'kind', 'value': 8}},
        {
            'argument_case': {
                'argument_name': 'size',
                'cases': {
                    1: [{'script': {'one': {'inline': 'echo one'}}}],
                    '2': [
                        {
                            'argument_set': {
                                'argument_name': 'kind',
                                'value': 'two',
                            }
                        }
                    ],
                    '9': [],
                },
                'default': [{'script': {'d': {'inline': 'echo default'}}}],
            }
        },
        {'script': {'k': {'inline': 'echo $kind', 'env_vars': ['kind']}}},
    ],
}


@pytest.mark.parametrize('reconcile', [False, True])
@pytest.mark.parametrize(
    'size, told',
    [
        (None, ['one', '8']),
        (2, ['two']),
        ('3', ['default', '8']),
        ('9', ['8']),
    ],
)
def test_argument_case_and_set(
    remote: disk_remote.DiskRemote,
    size: Any,
    told: list[str],
    reconcile: bool,
) -> None:
    values = {} if size is None else {'size': size}
    report = manifest.load(CASES).run(remote, values, reconcile=reconcile)
    assert [step.output for step in report.steps if step.output] == told


# -- all and any ------------------------------------------------------------

TOUCH = '[ -e /var/{0} ] || {{ [ $test_only = 0 ] && : >/var/{0}; }}'


def test_all_stops_at_the_first_failure(
    remote: disk_remote.DiskRemote,
) -> None:
    loaded = load(
        'validators:\n  - all: [{script: a.sh}, {script: b.sh},'
        ' {script: c.sh}]\n',
        a=TOUCH.format('a'),
        b='exit 1',
        c=TOUCH.format('c'),
    )
    with pytest.raises(exception.NotConforming) as every:
        loaded.run(remote, reconcile=False)
    assert results(every.value.report) == ['failed'] * 3
    assert sh(remote, 'ls /var | grep -x "[abc]" || echo none') == 'none'
    with pytest.raises(exception.StepFailed) as caught:
        loaded.run(remote)
    assert caught.value.path == 'validators[0].all[1].script'
    assert sh(remote, 'ls /var | grep -x "[abc]"') == 'a'


def test_any(remote: disk_remote.DiskRemote) -> None:
    loaded = load(
        """
validators:
  - argument_set: {argument_name: word, value: before}
  - any:
      - all:
          - argument_set: {argument_name: word, value: lost}
          - script: bad.sh
      - script: second.sh
      - script: third.sh
  - script: {say: {inline: echo $word, env_vars: [word]}}
""",
        bad='exit 3',
        second=TOUCH.format('second'),
        third=TOUCH.format('third'),
    )
    with pytest.raises(exception.NotConforming, match='none of the'):
        loaded.run(remote, reconcile=False)
    report = loaded.run(remote)
    assert results(report) == ['ok', 'changed', 'ran']
    # What the failed alternative set is rolled back.
    assert report.steps[-1].output == 'before'
    assert sh(remote, 'ls /var | grep -x "second\\|third"') == 'second'
    # Looking comes first: the third holds, so the second is not made again.
    sh(remote, 'mv /var/second /var/third')
    assert results(loaded.run(remote)) == ['ok', 'ok', 'ran']
    assert results(loaded.run(remote, reconcile=False)) == ['ok'] * 3
    assert sh(remote, 'ls /var | grep -x "second\\|third"') == 'third'


def test_any_tells_every_reason(remote: disk_remote.DiskRemote) -> None:
    loaded = load(
        'validators:\n  - any: [{script: a.sh}, {script: b.sh}]\n',
        a='exit 3',
        b='exit 4',
    )
    for reconcile in (False, True):
        with pytest.raises(exception.StepError) as caught:
            loaded.run(remote, reconcile=reconcile)
        for words in ('any[0]', 'any[1]', 'exit code 3', 'exit code 4'):
            assert words in str(caught.value)


# -- secrets ----------------------------------------------------------------


class Recorder(monitors.Monitor):
    def __init__(self) -> None:
        self.told: list[str] = []

    def step_started(self, step: monitors.RunningStep) -> None:
        self.told.append(repr(step))

    def output(
        self,
        step: monitors.RunningStep,
        stream: remotes_base.Stream,
        line: str,
    ) -> None:
        self.told.append(line)

    def step_finished(
        self, step: monitors.RunningStep, result: reports.StepReport
    ) -> None:
        self.told.append(repr(result))

    def notice(self, message: str) -> None:
        self.told.append(message)


@pytest.mark.parametrize('reconcile', [False, True])
def test_hidden_values_are_shown_nowhere(
    remote: disk_remote.DiskRemote,
    reconcile: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level('DEBUG')
    loaded = load(
        """
arguments:
  password: {required: true, hidden: true}
validators:
  - script: {leak.sh: {env_vars: [password]}}
  - script: {fail.sh: {env_vars: [password]}}
""",
        leak='echo "it is $password"; echo "$password" >&2; '
        'printf "%s" "$password"',
        fail='set -x; echo "$password"; false "$password"',
    )
    recorder = Recorder()
    with pytest.raises(exception.StepError) as caught:
        loaded.run(
            remote,
            {'password': SECRET},
            reconcile=reconcile,
            monitor=recorder,
        )
    everything = [
        *recorder.told,
        str(caught.value),
        repr(vars(caught.value)),
        json.dumps(caught.value.report.to_dict()),
        caplog.text,
    ]
    assert any('it is ***' in text for text in everything)
    assert [text for text in everything if SECRET in text] == []
