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
import pathlib

import pytest

from tools import pip_install


@pytest.mark.parametrize(
    ('lines', 'expected'),
    [
        ([], {}),
        (["global.disable-pip-version-check='1'"], {}),
        (["download.index-url='https://not.example/'"], {}),
        (
            ["global.index-url='https://mirror.example/simple?a=b'"],
            {'UV_DEFAULT_INDEX': 'https://mirror.example/simple?a=b'},
        ),
        (
            [
                "global.extra-index-url='https://a.example\\nfile:///b'",
                "global.cert='/etc/ours.crt'",
                "global.constraint='/etc/constraints.txt'",
                "global.trusted-host='a.example'",
            ],
            {
                'UV_INDEX': 'https://a.example file:///b',
                'SSL_CERT_FILE': '/etc/ours.crt',
                'UV_CONSTRAINT': '/etc/constraints.txt',
                'UV_INSECURE_HOST': 'a.example',
            },
        ),
        (
            [
                ":env:.index-url='https://environment.example'",
                "global.index-url='https://global.example'",
                "install.index-url='https://install.example'",
            ],
            {'UV_DEFAULT_INDEX': 'https://environment.example'},
        ),
        (["global.find-links='/not/there'"], {}),
    ],
)
def test_what_is_known(lines: list[str], expected: dict[str, str]) -> None:
    assert pip_install.translate(lines) == expected


def test_links(tmp_path: pathlib.Path) -> None:
    links = f'https://links.example {tmp_path} /not/there'
    assert pip_install.translate([f'global.find-links={links!r}']) == {
        'UV_FIND_LINKS': f'https://links.example,{tmp_path}'
    }


@pytest.mark.parametrize('name', ['client-cert', 'no-index', 'proxy', 'pre'])
def test_what_is_not_known(name: str) -> None:
    with pytest.raises(pip_install.UnknownSetting, match=name):
        pip_install.translate([f"global.{name}='1'"])
