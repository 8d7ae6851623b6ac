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
import base64
from typing import Any

import pytest

from imagebuild import exception
from imagebuild import manifest
from imagebuild.manifest.validators import repository
from imagebuild.manifest.validators import target_files
from imagebuild.remotes import fake
from tests.unit.common import test_openpgp as keys
from tests.unit.manifest.validators import guest

KEY = (
    '-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nAAAA\n'
    '-----END PGP PUBLIC KEY BLOCK-----\n'
)


@pytest.mark.parametrize(
    'text, wrong',
    [
        ('repository: {}', 'repository: it must not be empty'),
        ('repository: {a: {}}', 'repository.a: "url" is missing'),
        ('repository: {"a/b": {url: "http://x"}}', 'is not a name'),
        ('repository: {a: {url: x}}', '.a.url: '),
        ('repository: {a: {url: "http://x y"}}', '.a.url: '),
        ('repository: {a: {url: "http://x", suites: []}}', '.suites: '),
        ('repository: {a: {url: "http://x", suites: ["b c"]}}', 'suites[0]'),
        ('repository: {a: {url: "http://x", key: zz}}', '.key: it is not an'),
        ('repository: {a: {url: "http://x", key_source: k}}', 'key_source: '),
        ('repository: {a: {url: "http://x", priority: x}}', '.priority: '),
        ('repository: {a: {url: "http://x", more: x}}', '.more: unknown'),
    ],
)
def test_bad_forms(text: str, wrong: str) -> None:
    [error] = guest.errors(text)
    assert wrong in error


def test_files_are_written_and_the_index_is_stale() -> None:
    remote = guest.debian()
    guest.answer(
        remote,
        target_files.LOOK,
        fake.Answer('absent\nabsent\n'),
    )
    loaded = guest.load(
        """
        repository:
          ours: {url: "http://repo.example/d", suites: stable,
                 components: [main], key_source: ours.asc}
        """,
        {'ours.asc': KEY},
    )
    reason = guest.failure(loaded, remote)
    assert 'after the change still: ' in reason
    assert remote.written == [
        '/etc/apt/keyrings/ours.asc',
        '/etc/apt/sources.list.d/ours.sources',
    ]
    remote.written.clear()
    reason = guest.failure(loaded, remote, reconcile=False)
    assert reason.endswith('/ours.sources is missing')
    assert not remote.written


# -- addresses and keys by arguments ------------------------------------------

VENDOR = """
arguments:
  mirror: {default: "https://repo.example/deb", type: url}
  key: {default: "https://repo.example/key.asc", type: url}
  fingerprints: {default: "%s"}
validators:
  - repository:
      vendor:
        url: '{{ mirror }}/{{ distro }}'
        suites: '{{ distro_codename }}/main'
        components: [main, '{{ distro }}']
        key_url: '{{ key }}'
        fingerprints: '{{ fingerprints }}'
"""
KEYRING = '/etc/apt/keyrings/vendor.asc'
SOURCES = '/etc/apt/sources.list.d/vendor.sources'


def vendor(fetched: bytes | fake.Answer, found: str = 'absent') -> Any:
    """A Debian whose way to the vendor answers so.

    :param found: what a look at its list of the repository finds.
    """
    remote = fake.FakeRemote.of('debian', '12')
    release = remote.files['/etc/os-release'].content
    remote.files['/etc/os-release'] = fake.File(
        release + b'VERSION_CODENAME=bookworm\n'
    )
    guest.answer(remote, target_files.LOOK, fake.Answer(f'{found}\n'))
    if isinstance(fetched, bytes):
        fetched = fake.Answer(base64.b64encode(fetched).decode())
    guest.answer(remote, repository.FETCH, fetched)
    return remote


def reason_of(remote: Any, fingerprints: str, **values: str) -> str:
    loaded = manifest.load(VENDOR % fingerprints)
    with pytest.raises(exception.StepFailed) as caught:
        loaded.run(remote, values)
    return caught.value.reason


def test_a_key_is_fetched_and_only_what_is_accepted_is_kept() -> None:
    remote = vendor(keys.BOTH)
    # The list itself is written; the look at it is canned.
    reason = reason_of(remote, keys.FINGERPRINTS[1].lower())
    assert reason.startswith('after the change still: ')
    assert remote.files[KEYRING].content == keys.TWO
    assert remote.files[SOURCES].content.decode() == (
        'Types: deb\nURIs: https://repo.example/deb/debian\n'
        'Suites: bookworm/main\nComponents: main debian\n'
        f'Signed-By: {KEYRING}\n'
    )
    [command] = [
        each for each in remote.commands if repository.FETCH.text in each.argv
    ]
    assert command.argv[4] == 'https://repo.example/key.asc'


@pytest.mark.parametrize(
    'fetched, fingerprints, values, wrong',
    [
        (keys.ONE, keys.FINGERPRINTS[1], {}, 'is another one: its finger'),
        (keys.ONE, 'abcd', {}, 'are 40 or 64 hexadecimal digits'),
        (b'<html>', '', {}, 'is not a signing key: it is no OpenPGP key'),
        (b'', '', {}, 'is not a signing key: it holds no public key'),
        (
            fake.Answer('', 'curl: (7) Connection refused\n', 1), '', {},
            'the signing key https://repo.example/key.asc (from the argument '
            '"key") cannot be fetched: curl: (7) Connection refused',
        ),
        (keys.ONE, '', {'key': 'http://a/k'}, 'needs fingerprints'),
        (keys.ONE, '', {'key': 'ftp://a/k'}, 'is not a URL'),
    ],
)  # fmt: skip
def test_a_key_that_is_not_accepted(
    fetched: Any, fingerprints: str, values: dict[str, str], wrong: str
) -> None:
    remote = vendor(fetched)
    assert wrong in reason_of(remote, fingerprints, **values)
    assert not remote.written


def test_a_key_that_is_there_is_not_fetched() -> None:
    remote = vendor(fake.Answer('', 'not asked', 1))
    remote.files[KEYRING] = fake.File(keys.BOTH)
    loaded = manifest.load(VENDOR % ' '.join(keys.FINGERPRINTS))
    with pytest.raises(exception.NotConforming) as caught:
        loaded.run(remote, reconcile=False)
    [failure] = caught.value.failures
    assert failure.reason == f'{SOURCES} is missing'
    remote.files[KEYRING] = fake.File(b'\x99')
    with pytest.raises(exception.NotConforming, match='is no signing key'):
        loaded.run(remote, reconcile=False)
    loaded = manifest.load(VENDOR % keys.FINGERPRINTS[0])
    remote.files[KEYRING] = fake.File(keys.BOTH)
    with pytest.raises(exception.NotConforming, match='not accepted'):
        loaded.run(remote, reconcile=False)


@pytest.mark.parametrize(
    'text, wrong',
    [
        ('repository: {a: {url: "{{ nobody }}"}}', 'neither declared nor'),
        ('repository: {a: {url: "x{{ plain }}"}}', 'is not a URL'),
        ('repository: {a: {url: "http://x", fingerprints: x}}', 'is nothing'),
        (
            'repository: {a: {url: "http://x", key: x, key_url: y}}',
            'exclude each other',
        ),
    ],
)
def test_bad_forms_of_keys(text: str, wrong: str) -> None:
    assert wrong in guest.errors(text)[0]


def test_an_argument_may_not_be_more_than_a_word() -> None:
    loaded = manifest.load(
        """
arguments: {suite: {default: "a b"}, url: {default: "http://x"}}
validators:
  - repository: {a: {url: '{{ url }}', suites: '{{ suite }}', trusted: true}}
"""
    )
    remote = vendor(b'')
    with pytest.raises(exception.StepFailed, match='suites of the repository'):
        loaded.run(remote, {'suite': 'a;b'})
    with pytest.raises(exception.StepFailed, match='"a" is not one'):
        loaded.run(remote, {'url': 'http://x\nTrusted: yes'})
    assert not remote.written
