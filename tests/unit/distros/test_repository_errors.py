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
"""What apt and dnf really printed (apt 2.6, dnf 4.14), and what is said."""

import hashlib

import pytest

from imagebuild import distros
from imagebuild import exception
from imagebuild import manifest
from imagebuild.distros import repository_errors
from imagebuild.manifest.validators import target_files
from imagebuild.remotes import fake

DOWN = """\
Err:1 http://127.0.0.1:9 stable InRelease
  Could not connect to 127.0.0.1:9 (127.0.0.1). - connect (111: refused)
Reading package lists...
W: Failed to fetch http://127.0.0.1:9/dists/stable/InRelease  Could not \
connect to 127.0.0.1:9 (127.0.0.1). - connect (111: refused)
W: Some index files failed to download. They have been ignored, or old ones \
used instead.
"""
NO_HOST = """\
W: Failed to fetch http://no.such.host.invalid/x/dists/stable/InRelease  \
Could not resolve 'no.such.host.invalid'
"""
NO_RELEASE = """\
E: The repository 'file:/srv/x stable Release' does not have a Release file.
"""
NOT_SIGNED = """\
W: GPG error: http://a/x stable InRelease: The following signatures couldn't \
be verified because the public key is not available: NO_PUBKEY 1C97694BBDA54172
E: The repository 'http://a/x stable InRelease' is not signed.
"""
# Trusted whatever its signature is.
TRUSTED = NOT_SIGNED.splitlines(keepends=True)[0]
OLD_LISTS = """\
W: An error occurred during the signature verification. The repository is not \
updated and the previous index files will be used. GPG error: http://a/x \
stable InRelease: The following signatures were invalid: EXPKEYSIG 12
"""
EXPIRED = """\
E: Release file for http://a/x/dists/stable/InRelease is expired (invalid \
since 328d 6h 45min 2s). Updates for this repository will not be applied.
"""
DNF_DOWN = """\
Errors during downloading metadata for repository 'mariadb':
  - Curl error (7): Couldn't connect to server for \
http://127.0.0.1:9/x/repodata/repomd.xml [Failed to connect to 127.0.0.1 port \
9 after 0 ms: Couldn't connect to server]
Error: Failed to download metadata for repo 'mariadb': Cannot download \
repomd.xml: Cannot download repodata/repomd.xml: All mirrors were tried
"""
DNF_KEY = """\
The GPG keys listed for the "cassandra" repository are already installed but \
they are not correct for this package.
Check that the correct key URLs are configured for this repository.
"""
DNF_OTHER_KEY = """\
Import of key(s) didn't help, wrong key(s)?
Public key for cassandra-5.0.2-1.el9.noarch.rpm is not installed. Failing \
package is: cassandra-5.0.2-1.el9.noarch
 GPG Keys are configured as: file:///etc/pki/rpm-gpg/RPM-GPG-KEY-cassandra
Error: GPG check FAILED
"""
DNF_MISSING = """\
  - Status code: 404 for http://a/x/repodata/repomd.xml (IP: 127.0.0.1)
  - Status code: 404 for http://a/x/repodata/repomd.xml (IP: 127.0.0.1)
"""


@pytest.mark.parametrize(
    'output, url, reason, unreachable',
    [
        (DOWN, 'http://127.0.0.1:9', 'Could not connect to', True),
        (
            NO_HOST,
            'http://no.such.host.invalid/x',
            "Could not resolve 'no.such",
            True,
        ),
        (NO_RELEASE, 'file:/srv/x', 'does not have a Release file', False),
        (NOT_SIGNED, 'http://a/x', 'NO_PUBKEY 1C97694BBDA54172', False),
        (OLD_LISTS, 'http://a/x', 'were invalid: EXPKEYSIG 12', False),
        (DNF_OTHER_KEY, 'cassandra', 'is not installed', False),
        (DNF_KEY, 'cassandra', 'are already installed but they', False),
        (
            EXPIRED,
            'http://a/x',
            'is expired (invalid since 328d 6h 45min 2s)',
            False,
        ),
        (DNF_DOWN, 'http://127.0.0.1:9/x', "Couldn't connect", True),
        (DNF_MISSING, 'http://a/x', 'Status code: 404', False),
    ],
)
def test_what_is_found(output, url, reason, unreachable):
    [problem] = repository_errors.find(output)
    assert problem.url == url
    assert reason in problem.reason
    assert problem.unreachable is unreachable


@pytest.mark.parametrize(
    'output',
    ['', 'Unable to locate package x\n', 'E: Broken packages\n', TRUSTED],
)
def test_nothing_is_wrong_with_repositories(output):
    assert repository_errors.find(output) == []


MANIFEST = """
arguments:
  mirror: {type: url, default: 'http://127.0.0.1:9'}
  key: {type: url, default: 'https://127.0.0.1:9/key'}
validators:
  - repository:
      vendor: {url: '{{ mirror }}', suites: stable, components: main}
  - package: server
"""


class Guest(fake.FakeRemote):
    """A Debian whose apt cannot use a repository."""

    def __init__(self, output):
        super().__init__({'/etc/os-release': 'ID=debian\nVERSION_ID=12\n'})
        self.when(lambda command: True, fake.Answer())
        self.when(
            lambda command: command.argv[2:3] == (target_files.LOOK.text,),
            self.look,
        )
        self.when(
            lambda command: 'apt-get -y' in ' '.join(command.argv),
            fake.Answer(
                '', f'{output}E: Unable to locate package server\n', 100
            ),
        )

    def look(self, command):
        # No such file; after a change all is well.
        names = command.argv[4:]
        if not self.written:
            return fake.Answer('absent\n' * len(names))
        files = [self.files[name] for name in names]
        return fake.Answer(
            ''.join(
                f'file {hashlib.sha256(file.content).hexdigest()} '
                f'{file.mode:o} 0 0 root root\n'
                for file in files
            )
        )


def failure(output, text=MANIFEST):
    with pytest.raises(exception.StepFailed) as caught:
        manifest.load(text).run(Guest(output))
    return caught.value


def test_the_sentence_names_argument_and_address():
    error = failure(DOWN)
    assert str(error) == (
        "validators[1].package: package 'server' is not known to apt of this "
        'image (debian-12): the repository '
        'http://127.0.0.1:9 (from the argument '
        '"mirror") cannot be used: Could not connect to 127.0.0.1:9 '
        '(127.0.0.1). - connect (111: refused)'
    )
    assert (error.exit_code, error.fault) == (3, 'service')
    assert error.command == 'apt-get install server'
    assert error.command_exit_code == 100
    assert 'Unable to locate' in error.output


def test_what_was_answered_is_no_fault_of_the_network():
    error = failure(EXPIRED.replace('http://a/x', 'http://127.0.0.1:9'))
    assert 'argument "mirror") cannot be used: is expired' in str(error)
    assert (error.exit_code, error.fault) == (1, 'user')


def test_in_an_alternative():
    """It is a failed step: another alternative is tried."""
    text = MANIFEST.replace(
        '- package: server', '- any: [package: server, package: server]'
    )
    error = failure(DOWN, text)
    assert (error.exit_code, error.fault) == (3, 'service')
    assert 'none of the alternatives is available' in str(error)


def test_a_key_that_cannot_be_fetched():
    text = MANIFEST.replace('main}', "main, key_url: '{{ key }}'}")
    remote = Guest(DOWN)
    remote.when(
        lambda command: 'file=$(mktemp)' in ' '.join(command.argv),
        fake.Answer('', 'curl: (7) Connection refused\n', 1),
    )
    with pytest.raises(distros.RepositoryUnreachable) as caught:
        manifest.load(text).run(remote)
    assert str(caught.value).endswith(
        'the signing key https://127.0.0.1:9/key (from the argument "key") '
        'cannot be fetched: curl: (7) Connection refused'
    )


def fetching(said):
    text = MANIFEST.replace(
        'main}', "main, key_url: 'https://127.0.0.1:443/key'}"
    )
    remote = Guest(DOWN)
    remote.when(
        lambda command: 'file=$(mktemp)' in ' '.join(command.argv),
        fake.Answer('', said, 1),
    )
    with pytest.raises(exception.StepFailed) as caught:
        manifest.load(text).run(remote)
    return caught.value


@pytest.mark.parametrize(
    'said',
    [
        'E: Failed to fetch https://127.0.0.1:443/key  Could not connect to '
        '127.0.0.1:443 (127.0.0.1). - connect (111: Connection refused)\n'
        'E: Download Failed\n',
        'urllib.error.URLError: <urlopen error [Errno 111] refused>\n',
        'curl: (22) The requested URL returned error: 503\n',
        # wget's.
        '',
    ],
)
def test_a_server_that_does_not_have_it_now(said):
    error = fetching(said)
    assert (error.exit_code, error.fault) == (3, 'service')


@pytest.mark.parametrize(
    'said',
    [
        'curl: (22) The requested URL returned error: 404\n',
        'E: Failed to fetch https://a/key  404  Not Found [IP: 127.0.0.1 443]'
        '\nE: Download Failed\n',
        'urllib.error.HTTPError: HTTP Error 403: Forbidden\n',
    ],
)
def test_a_key_that_is_not_there(said):
    error = fetching(said)
    assert (error.exit_code, error.fault) == (1, 'user')
