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
"""Templates of Packer in HCL, read by python-hcl2."""

import json
import textwrap

import pytest

from imagebuild import conversion
from imagebuild import exception
from imagebuild import manifest
from imagebuild.common import strict_yaml

HCL = r"""
packer {
  required_plugins {
    qemu = { version = ">= 1.0", source = "github.com/hashicorp/qemu" }
  }
}
variable "port" {
  type        = string
  default     = "8080"
  description = "Where it listens."
}
variable "token" {
  sensitive = true
}
locals { greeting = "port ${var.port}" }
source "qemu" "debian" { iso_url = "x" }
build {
  sources = ["source.qemu.debian"]
  provisioner "shell" {
    environment_vars = ["PORT=${var.port}", "TOKEN=${var.token}", "A=it's"]
    inline = [
      "cloud-init status --wait",
      "echo \"hi\" > /etc/x",
      "echo ${local.greeting} $${HOME} ${SHELL}",
    ]
    execute_command = "sudo -E sh -c '{{ .Vars }} {{ .Path }}'"
    timeout = "1m30s"
  }
  provisioner "shell" {
    inline = [<<-EOT
      echo a
        echo b
      EOT
    ]
    only = ["qemu.debian"]
  }
  provisioner "shell" { script = "${path.root}/setup.sh" }
  provisioner "shell" { script = "../outside.sh" }
  provisioner "shell" { inline = [join(" ", ["a", "b"])] }
  provisioner "file" {
    source = "conf/"
    destination = "/etc/app"
  }
  provisioner "ansible" { playbook_file = "x.yml" }
  post-processor "manifest" {}
}
"""


def write(directory, files):
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


def test_packer_in_hcl(tmp_path):
    write(
        tmp_path / 't',
        {
            'a.pkr.hcl': HCL,
            'setup.sh': '#!/bin/bash\nsudo reboot\n',
            'conf/app.ini': 'x\n',
            'conf/d/b.ini': 'y\n',
            '../outside.sh': 'true\n',
        },
    )
    found = conversion.convert(tmp_path / 't/a.pkr.hcl')
    assert found.form == 'packer'
    data = read(found)
    assert data['arguments'] == {
        'port': {'description': 'Where it listens.', 'default': '8080'},
        'token': {
            'description': 'The variable token of the template.',
            'required': True,
            'hidden': True,
        },
    }
    first = data['validators'][0]['script']['provisioner[0]']
    assert first['env_vars'] == ['port', 'token']
    assert first['timeout'] == 90
    assert first['inline'].splitlines() == [
        '#!/bin/sh -e',
        '[ "$test_only" -eq 0 ] || exit 0',
        'export PORT="${port}"',
        'export TOKEN="${token}"',
        "export A='it'\\''s'",
        'echo "hi" > /etc/x',
        'echo port 8080 ${HOME} ${SHELL}',
    ]
    second = data['validators'][1]['script']['provisioner[1]']
    assert second['inline'].endswith('echo a\n  echo b\n')
    assert data['validators'][3] == {
        'file': {
            '/etc/app/app.ini': {'content': 'x\n', 'mode': '0755'},
            '/etc/app/d/b.ini': {'content': 'y\n', 'mode': '0755'},
        }
    }
    assert lost(found) == [
        f'provisioner[3]: ../outside.sh: it is not below {tmp_path / "t"}',
        'provisioner[4]: the expression ${join(" ", ["a", "b"])} is not '
        'understood, as Packer wants it',
        'provisioner[6]: provisioners of type ansible are not carried over',
    ]


@pytest.mark.parametrize('text', ['build {', 'build {\n x = [[[[\n}', '\0'])
def test_broken_hcl(tmp_path, text):
    path = tmp_path / 'a.hcl'
    path.write_text(text)
    with pytest.raises(exception.InvalidInput):
        conversion.convert(path, 'packer')


def test_scripts_have_unix_line_ends(tmp_path):
    """As Packer converts them."""
    provisioner = {'type': 'shell', 'script': 'crlf.sh'}
    template = {'builders': [], 'provisioners': [provisioner]}
    (tmp_path / 'a.json').write_text(json.dumps(template))
    text = '#!/bin/sh\r\necho a\r\n'
    (tmp_path / 'crlf.sh').write_text(text, newline='')
    found = conversion.convert(tmp_path / 'a.json')
    [step] = read(found)['validators']
    assert step['script']['crlf.sh']['inline'].endswith('\necho a\n')
