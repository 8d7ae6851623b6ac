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
"""imagebuild-convert."""

import pytest

from imagebuild import manifest
from imagebuild.cmd import convert

USER_DATA = '#cloud-config\npackages: [nano]\nsnap: {}\n'


@pytest.fixture
def user_data(tmp_path):
    path = tmp_path / 'user-data'
    path.write_text(USER_DATA)
    return path


def test_to_standard_output(user_data, capsys):
    assert convert.main([str(user_data)]) == 0
    out, err = capsys.readouterr()
    manifest.load(out)
    assert '- nano' in out
    assert err == (
        'not carried over: snap: snaps cannot be installed into an image\n'
    )


def test_strict(user_data, tmp_path, capsys):
    output = tmp_path / 'out.yaml'
    arguments = [str(user_data), '--strict', '--output', str(output)]
    assert convert.main(arguments) == 1
    assert not output.exists()
    assert capsys.readouterr().err.splitlines()[-1] == (
        f'1 part of {user_data} cannot be carried over; nothing is written.'
    )


def test_to_a_file(user_data, tmp_path, capsys):
    output = tmp_path / 'out.yaml'
    arguments = [str(user_data), '--output', str(output)]
    assert convert.main(arguments) == 0
    assert capsys.readouterr().out == (
        f'{output} is written, from cloud-init; 1 part not carried over.\n'
    )
    # The same again changes nothing; something else is not replaced.
    assert convert.main(arguments) == 0
    output.write_text('mine')
    capsys.readouterr()
    assert convert.main(arguments) == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        f'{output} is there already; use --force to replace it.'
    )
    assert output.read_text() == 'mine'
    assert convert.main([*arguments, '--force']) == 0
    manifest.load(output)
    assert [path.name for path in tmp_path.iterdir()
            if path.name.startswith('.')] == []  # fmt: skip


def test_scripts_are_put_beside_it(tmp_path):
    source = tmp_path / 'from'
    source.mkdir()
    (source / 'image.yaml').write_text(
        'validators: [{script: a/b.sh}, {copy_script: f.sh}]\n'
    )
    (source / 'a').mkdir()
    (source / 'a/b.sh').write_text('true\n')
    (source / 'f.sh').write_text('f() { true; }\n')
    target = tmp_path / 'to'
    target.mkdir()
    arguments = [str(source / 'image.yaml'), '--output']
    assert convert.main([*arguments, str(target / 'manifest.yaml')]) == 0
    manifest.load(target / 'manifest.yaml')
    # In its own place they are there already.
    assert convert.main([*arguments, str(source / 'manifest.yaml')]) == 0
    # A link would lead out of the directory.
    other = tmp_path / 'other'
    other.mkdir()
    (other / 'a').symlink_to(tmp_path)
    assert convert.main([*arguments, str(other / 'manifest.yaml')]) == 2
    assert not (tmp_path / 'b.sh').exists()


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['{tmp}/none'], 'cannot be read: No such file or directory.'),
        (['{tmp}'], 'is none of the forms'),
        (['{tmp}', '--from', 'sahara'], 'is a directory.'),
        (['{tmp}/user-data', '--from', 'xml'], 'invalid choice'),
        (
            ['{tmp}/user-data', '--output', '{tmp}/none/x'],
            'There is no directory',
        ),
        (['{tmp}/user-data', '--element-path', '/none'], 'not a directory'),
    ],
)
def test_bad_usage(user_data, tmp_path, capsys, arguments, message):
    words = [word.format(tmp=tmp_path) for word in arguments]
    assert convert.main(words) == 2
    assert message in capsys.readouterr().err.splitlines()[-1]
