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
"""Inventories, and addresses."""

import pathlib

import pytest

from imagebuild import exception
from imagebuild.machines import inventory
from imagebuild.remotes import ssh_settings


@pytest.mark.parametrize(
    ('text', 'address', 'shown'),
    [
        ('web', ('web', None, None), 'web'),
        ('root@web:2222', ('web', 2222, 'root'), 'root@web:2222'),
        ('web:22', ('web', 22, None), 'web'),
        ('10.0.0.1', ('10.0.0.1', None, None), '10.0.0.1'),
        ('2001:db8::1', ('2001:db8::1', None, None), '[2001:db8::1]'),
        ('a@[::1]:99', ('::1', 99, 'a'), 'a@[::1]:99'),
        ('a@fe80::1%eth0', ('fe80::1%eth0', None, 'a'), 'a@[fe80::1%eth0]'),
    ],
)
def test_an_address(
    text: str, address: tuple[str, int | None, str | None], shown: str
) -> None:
    assert ssh_settings.address(text) == ssh_settings.Address(*address)
    assert str(ssh_settings.address(text)) == shown


@pytest.mark.parametrize(
    'text',
    [
        *('', '-oProxyCommand=x', 'a b', 'web:0', 'web:99999', 'a@', '[::1'),
        *('a;reboot', '$(reboot)', '`reboot`', "a'b", 'a"b', 'a|b', 'a&b'),
        *('a\nb', 'a\n', 'a\x1b[2Jb', 'a\x00b', 'a\\b', 'a>b', '{a,b}', '*'),
        *('-x@web', 'a;b@web', 'a`b`@web', 'a\x07b@web', 'a\u202eb'),
    ],
)
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(exception.InvalidInput):
        ssh_settings.address(text)


def read(tmp_path: pathlib.Path, text: str) -> list[inventory.Entry]:
    path = tmp_path / 'hosts.yaml'
    path.write_text(text)
    return inventory.read(path)


def test_defaults_and_what_a_machine_has_itself(
    tmp_path: pathlib.Path,
) -> None:
    first, second = read(
        tmp_path,
        """
        defaults:
            user: debian
            identity: keys/all
            arguments: {release: 8.0, size: 1}
        hosts:
            - db1
            - host: root@db2
              port: 2222
              name: second
              jump: a@one, two:23
              host_key: SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA
              arguments: {size: 2}
        """,
    )
    assert first.name == 'debian@db1'
    assert first.identity == tmp_path / 'keys/all'
    assert second.name == 'second'
    assert second.address == ssh_settings.Address('db2', 2222, 'root')
    # What looks up addresses takes nothing that is only like an int.
    assert type(second.address.port) is int
    assert list(map(str, second.jumps or ())) == ['a@one', 'two:23']
    assert second.arguments == {'release': 8.0, 'size': 2}


@pytest.mark.parametrize(
    ('text', 'said'),
    [
        ('hosts: []', 'hosts'),
        ('hosts: [a, a]', r'hosts\[1\]: "a" is a duplicate'),
        ('hosts: [a b]', r'hosts\[0\]: .* is not an address'),
        ('hosts: [{host: a, user: "x;y"}]', r'hosts\[0\]: .* name of a user'),
        ('hosts: [{host: a, jump: "b, c;d"}]', r'hosts\[0\]: .* of a host'),
        (f'hosts: [{"a, " * 10000}]', 'is not a list of 1 to 1000'),
        ('hosts: [{host: a, password: x}]', r'hosts\[0\].*password.*unknown'),
        ('hosts: [{host: a, host_key: x}]', 'fingerprint'),
        ('- a', 'type'),
        ('a: [', 'not valid'),
    ],
)
def test_what_is_no_inventory(
    tmp_path: pathlib.Path, text: str, said: str
) -> None:
    with pytest.raises(exception.InvalidInput, match=said):
        read(tmp_path, text)


@pytest.mark.parametrize(
    ('text', 'said'),
    [
        ('[a, {host: a, name: b}]', 'b is the same machine as a'),
        ('[a, {host: A, name: b, port: 22}]', 'b is the same machine as a'),
        ('[a, {host: root@a, name: b}]', 'b is the same machine as a'),
        ('[a, {host: a, name: b, port: 23}, {host: a, name: c, jump: d}]', ''),
    ],
)
def test_duplicates(tmp_path: pathlib.Path, text: str, said: str) -> None:
    entries = read(tmp_path, f'hosts: {text}')
    if said:
        with pytest.raises(exception.InvalidInput, match=said):
            inventory.refuse_duplicates(entries)
    else:
        inventory.refuse_duplicates(entries)
