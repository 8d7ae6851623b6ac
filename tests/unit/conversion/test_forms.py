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
"""Sahara's manifests, elements of diskimage-builder, templates of Packer."""

import json
import os
import pathlib
import sys
import textwrap

import pytest

from imagebuild import conversion
from imagebuild import exception
from imagebuild import manifest
from imagebuild.common import strict_yaml

SAHARA = """
arguments:
  - java_distro:
      default: openjdk
      description: The distribution of Java to install.
      choices: [openjdk, oracle-java]
  - plugin_version: {default: 2.10, hidden: yes}
validators:
  - os_case:
      - redhat: [package: nfs-utils]
      - ubuntu: [package: [nfs-common, {ntp: {version: 1.0}}]]
  - copy_script: common/functions.sh
  - script:
      common/install:
        - env_vars: [java_distro]
        - output: where
  - any:
      - script: {a label: {inline: "true"}}
      - script: missing.sh
unknown: 1
"""


def write(directory: pathlib.Path, files):
    for name, text in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
        path.chmod(0o755)


def read(found):
    manifest.load(found.text, resources=found.resources)
    return strict_yaml.parse(found.text)


def lost(found):
    return [str(note) for note in found.notes if note.lost]


def test_hcl_without_its_library(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'hcl2', None)
    path = tmp_path / 'a.pkr.hcl'
    path.write_text('build {\n}\n')
    with pytest.raises(exception.MissingDependency, match=r'\[packer\]'):
        conversion.convert(path)


def test_sahara(tmp_path):
    write(
        tmp_path,
        {
            'image.yaml': SAHARA,
            'common/install': '#!/bin/bash\ntrue\n',
            'common/functions.sh': 'f() { true; }\n',
            'missing.sh': 'true\n',
        },
    )
    found = conversion.convert(tmp_path / 'image.yaml')
    assert found.form == 'sahara'
    data = read(found)
    assert data['arguments']['plugin_version']['default'] == '2.10'
    assert [next(iter(step)) for step in data['validators']] == [
        'os_case', 'copy_script', 'script', 'any',
    ]  # fmt: skip
    assert data['validators'][2] == {
        'script': {
            'common/install': {'env_vars': ['java_distro'], 'output': 'where'}
        }
    }
    assert sorted(found.resources) == [
        'common/functions.sh', 'common/install', 'missing.sh',
    ]  # fmt: skip
    assert lost(found) == ['unknown: a manifest has no such key']
    [python] = [str(note) for note in found.notes if not note.lost]
    assert python.startswith('arguments: a plugin of Sahara can set other ')
    assert f'# * {python[:40]}' in found.text
    # The same work: only the spelling differs.
    before = manifest.load(SAHARA.replace('unknown: 1\n', ''), [tmp_path])
    after = manifest.load(found.text, resources=found.resources)
    assert before.content_key({}) == after.content_key({})


@pytest.mark.parametrize(
    ('name', 'text'),
    [
        # One of ours, which has no Python.
        ('manifest.yaml', SAHARA),
        ('image.yaml', 'validators:\n- package: nano\n'),
    ],
)
def test_no_python_to_look_at(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    found = conversion.convert(tmp_path / name)
    assert [note for note in found.notes if not note.lost] == []


def test_sahara_without_its_scripts(tmp_path):
    (tmp_path / 'image.yaml').write_text(
        'validators:\n- script: ../../etc/shadow\n- package: nano\n'
    )
    found = conversion.convert(tmp_path / 'image.yaml')
    assert [next(iter(step)) for step in read(found)['validators']] == [
        'package'
    ]
    assert lost(found)[0] == (f'../../etc/shadow: it is not below {tmp_path}')


ELEMENT = {
    'web/element-deps': 'tls\npackage-installs\nnowhere\nvm\n',
    'web/package-installs.yaml': """
        httpd:
        libxml2: {phase: pre-install.d}
        nano: {uninstall: true, phase: post-install.d}
        lshw: {arch: ppc64}
        extra: {when: DIB_EXTRA = 1}
        plain: {when: DIB_EXTRA != 1}
    """,
    'web/pkg-map': json.dumps(
        {
            'family': {'debian': {'httpd': 'apache2'}},
            'distro': {'fedora': {'httpd': 'httpd-core'}},
            'release': {'ubuntu': {'jammy': {'httpd': ''}}},
            'default': {'httpd': 'httpd'},
        }
    ),
    'web/install.d/50-setup': """\
        #!/bin/bash
        set -eu
        echo "${DIB_WEB_PORT:-80} $DIB_SITE" > /etc/web
    """,
    'web/install.d/60-tool': '#!/bin/sh\ninstall-packages x\n',
    'web/install.d/bad.name': '#!/bin/sh\ntrue\n',
    'web/root.d/10-host': '#!/bin/sh\ntrue\n',
    'web/environment.d/10-web': 'export DIB_SITE=${DIB_SITE:-example}\n',
    'web/static/etc/web.d/a.conf': 'a\n',
    'tls/install.d/40-first': '#!/bin/sh\necho first\n',
    'tls/init-scripts/systemd/tls.service': '[Unit]\n',
}


def test_elements(tmp_path):
    write(tmp_path, ELEMENT)
    os.symlink('a.conf', tmp_path / 'web/static/etc/web.d/link')
    (tmp_path / 'elements').write_text('web  # ours\n')
    one = conversion.convert(tmp_path / 'web')
    found = conversion.convert(
        tmp_path / 'elements', element_paths=[tmp_path / 'none']
    )
    assert found.form == one.form == 'dib'
    assert read(found)['validators'] == read(one)['validators']
    data = read(found)
    comments = [
        line.strip()
        for line in found.text.splitlines()
        if line.startswith('  # ')
    ]
    assert comments == [
        '# web/package-installs',
        '# web/package-installs',
        '# web/package-installs',
        '# web/package-installs',
        '# web/static',
        '# tls/init-scripts/systemd',
        '# tls/install.d/40-first',
        '# web/install.d/50-setup',
        '# web/install.d/60-tool',
        '# web/package-installs',
    ]
    assert data['validators'][1] == {
        'os_case': [
            {'ubuntu-jammy': []},
            {'fedora': [{'package': ['httpd-core']}]},
            {'debian': [{'package': ['apache2']}]},
            {'redhat': [{'package': ['httpd']}]},
            {'suse': [{'package': ['httpd']}]},
        ]
    }
    assert data['arguments'].keys() == {
        'DIB_EXTRA', 'DIB_WEB_PORT', 'DIB_SITE',
    }  # fmt: skip
    assert data['arguments']['DIB_WEB_PORT']['default'] == '80'
    [setup] = [
        step['script']['web/install.d/50-setup']
        for step in data['validators']
        if 'web/install.d/50-setup' in step.get('script', ())
    ]
    assert setup['env_vars'] == ['DIB_WEB_PORT', 'DIB_SITE']
    assert 'export DIB_SITE=${DIB_SITE:-example}' in setup['inline']
    assert lost(found) == [
        'nowhere: there is no such element; see --element-path',
        'web/root.d/10-host: it runs on the host that builds, beside the '
        'image',
        'web/package-installs.yaml: lshw: it depends on the processor '
        '("arch")',
    ]
    assert any('install-packages' in str(note) for note in found.notes)


def test_an_element_reads_nothing_outside(tmp_path):
    write(tmp_path, {'evil/install.d/10-a': '#!/bin/sh\n'})
    os.symlink('/etc/shadow', tmp_path / 'evil/install.d/20-b')
    (tmp_path / 'evil/static').mkdir()
    os.symlink('/etc', tmp_path / 'evil/static/etc')
    found = conversion.convert(tmp_path / 'evil')
    assert 'root:' not in found.text
    assert any('20-b' in line for line in lost(found))


def test_packer_in_json(tmp_path):
    template = {
        'variables': {'name': 'you', 'secret': None, 'e': '{{env `HOME`}}'},
        'sensitive-variables': ['secret'],
        'builders': [{'type': 'qemu'}],
        'provisioners': [
            {
                'type': 'shell',
                'inline': ['echo {{user `name`}}', 'true'],
                'environment_vars': ['S={{user `secret`}}', '1x=2'],
            },
            {'type': 'shell', 'inline': ['echo {{user `secret`}}']},
            {'type': 'file', 'source': 'a', 'destination': '/etc/a/'},
            {'type': 'file', 'source': 'a', 'destination': 'tmp'},
            {'type': 'file', 'direction': 'download', 'destination': '/x'},
            7,
        ],
    }
    (tmp_path / 'a').write_text('A\n')
    (tmp_path / 't.json').write_text(json.dumps(template))
    found = conversion.convert(tmp_path / 't.json')
    data = read(found)
    assert 'echo you' in found.text
    assert data['validators'][1] == {
        'file': {'/etc/a/a': {'content': 'A\n', 'mode': '0644'}}
    }
    assert lost(found) == [
        'variables.e: its default {{env `HOME`}}',
        'provisioners[5]: it is not a mapping',
        'provisioners[0]: "1x" is not the name of a variable',
        'provisioners[1]: the variable secret has no default that could be '
        'written down; hand it to the script by environment_vars, as Packer '
        'wants it',
        'provisioners[3]: the destination "tmp" is not an absolute path',
        'provisioners[4]: nothing is fetched out of an image',
    ]


@pytest.mark.parametrize(
    ('name', 'text', 'form'),
    [
        ('x', '#cloud-config\n', 'cloud-init'),
        ('x', '\ufeff#cloud-config\n', 'cloud-init'),
        ('x', '#!/bin/sh\n', 'cloud-init'),
        ('x', 'runcmd: [a]\n', 'cloud-init'),
        ('x', 'validators: [package: a]\n', 'sahara'),
        ('x', '{"validators": []}', 'sahara'),
        ('x', '{"builders": []}', 'packer'),
        ('x', 'build {\n}\n', 'packer'),
        ('x', '# elements\nvm\nubuntu-minimal\n', 'dib'),
    ],
)
def test_the_form_is_found_out(tmp_path, name, text, form):
    path = tmp_path / name
    path.write_text(text)
    assert conversion.detect(path, path.read_bytes()) == form


@pytest.mark.parametrize('content', [b'', b'a: b\n', b'\0\1\2', b'$(x)\n'])
def test_what_is_none_of_them(tmp_path, content):
    path = tmp_path / 'x'
    path.write_bytes(content)
    with pytest.raises(exception.InvalidInput, match='say which it is'):
        conversion.convert(path)
