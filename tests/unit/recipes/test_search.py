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
import logging
import types
from unittest import mock

import pytest

from imagebuild import exception
from imagebuild import manifest
from imagebuild import recipes
from imagebuild.recipes import plugin
from imagebuild.recipes import search
from imagebuild.remotes import fake

GOOD = 'description: Good.\nvalidators: [{package: a}]\n'


@pytest.fixture
def recipe_path(tmp_path):
    return tmp_path / 'recipes'


@pytest.fixture
def write(recipe_path):
    def write(name, text=GOOD):
        path = recipe_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    return write


@pytest.fixture
def plugins(monkeypatch):
    """Entry points by name; an exception in one's place is its failure."""
    found = {}

    class Manager:
        def __init__(self, namespace, on_load_failure_callback):
            assert namespace == 'imagebuild.recipes'
            self.extensions = []
            for name, value in found.items():
                point = types.SimpleNamespace(
                    name=name, value=f'pkg:{name}', dist=None
                )
                if isinstance(value, Exception):
                    on_load_failure_callback(self, point, value)
                    continue
                self.extensions.append(
                    types.SimpleNamespace(
                        name=name, plugin=value, entry_point=point
                    )
                )

        def __iter__(self):
            return iter(self.extensions)

    monkeypatch.setattr(plugin.stevedore, 'ExtensionManager', Manager)
    return found


class Plugin:
    description = 'A plugin.'

    def __init__(self):
        self.calls = []

    def get_versions(self):
        return ['1', '2']

    def get_image_arguments(self, version):
        return [manifest.Argument('size', default='1')]

    def pack_image(
        self, version, remote, reconcile=True, image_arguments=None
    ):
        self.calls.append(
            (version, remote._remote, reconcile, image_arguments)
        )


def test_shipped():
    recipe = recipes.find()['redis']['7']
    assert isinstance(recipe, recipes.DirectoryRecipe)
    assert recipe.directory == search.SHIPPED / 'redis' / '7'


def test_directory(recipe_path, write):
    write('web/10/manifest.yaml')
    write('web/9/manifest.yaml')
    write('web/common/manifest.yaml')
    write('web/11/readme.txt')
    write('.hidden/1/manifest.yaml')
    write('stray.txt')
    found = recipes.find([recipe_path])
    shipped = recipes.find().keys()
    assert found.keys() == {*shipped, 'web'}
    assert list(found['web']) == ['9', '10']
    assert found['web']['9'].description == 'Good.'
    assert str(found['web']['9']) == 'web 9'


def test_the_name_that_sahara_gives_manifests(recipe_path, write):
    write('spark/2.3/image.yaml')
    write('both/1/image.yaml', 'validators: 5\n')
    write('both/1/manifest.yaml')
    found = recipes.find([recipe_path])
    assert found['spark']['2.3'].description == 'Good.'
    assert found['both']['1'].description == 'Good.'


def test_earlier_hides_later(recipe_path, write, tmp_path, plugins):
    plugins['web'] = Plugin
    write('redis/7/manifest.yaml', 'description: Mine.\nvalidators: []\n')
    write('web/1/manifest.yaml')
    other = tmp_path / 'other'
    (other / 'web' / '1').mkdir(parents=True)
    (other / 'web' / '1' / 'manifest.yaml').write_text(GOOD)
    found = recipes.find([recipe_path, other])
    assert found['redis']['7'].description == 'Mine.'
    assert found['web']['1'].recipe_path == recipe_path
    assert isinstance(found['web']['2'], recipes.PluginRecipe)


def test_common_is_a_resource_root(recipe_path, write):
    text = 'validators: [{script: a.sh}, {script: b.sh}]\n'
    write('web/1/manifest.yaml', text)
    write('web/1/a.sh', 'own')
    write('web/common/a.sh', 'hidden')
    write('web/common/b.sh', 'shared')
    loaded = recipes.get('web', '1', [recipe_path]).load()
    assert [step.content for step in loaded.validators] == [b'own', b'shared']


def test_broken_manifest_is_in_nobodys_way(recipe_path, write):
    write('bad/1/manifest.yaml', 'validators: [{nonsense: 1}]\n')
    write('web/1/manifest.yaml')
    found = recipes.find([recipe_path])
    assert found['web']['1'].arguments() == ()
    bad = found['bad']['1']
    assert bad.description.startswith('cannot be used: ')
    with pytest.raises(exception.InvalidManifest, match='unknown validator'):
        bad.arguments()


def test_missing_recipe_path(tmp_path):
    with pytest.raises(exception.InvalidInput, match='cannot be read'):
        recipes.find([tmp_path / 'none'])


@pytest.mark.parametrize('link', ['manifest.yaml', '.', '../common'])
def test_links_out_are_refused(recipe_path, write, tmp_path, link):
    outside = tmp_path / 'outside'
    outside.mkdir()
    (outside / 'manifest.yaml').write_text(GOOD)
    if link == '.':
        (recipe_path / 'web').mkdir(parents=True)
        (recipe_path / 'web' / '1').symlink_to(outside)
    elif link == 'manifest.yaml':
        (recipe_path / 'web' / '1').mkdir(parents=True)
        (recipe_path / 'web' / '1' / link).symlink_to(outside / link)
    else:
        write('web/1/manifest.yaml')
        (recipe_path / 'web' / 'common').symlink_to(outside)
    recipe = recipes.find([recipe_path])['web']['1']
    with pytest.raises(exception.InvalidRecipe, match='leads out'):
        recipe.load()


def test_links_inside_are_followed(recipe_path, write):
    write('web/1.2/manifest.yaml')
    (recipe_path / 'web' / '1').symlink_to('1.2')
    assert recipes.get('web', '1', [recipe_path]).load().description == 'Good.'


@pytest.mark.parametrize(
    'name, version', [('redis', '1'), ('web', '7'), ('..', '7')]
)
def test_unknown(name, version):
    with pytest.raises(exception.UnknownRecipe, match='redis 7') as caught:
        recipes.get(name, version)
    assert caught.value.exit_code == 2


def test_plugin(plugins):
    plugins['web'] = Plugin
    recipe = recipes.get('web', '1')
    assert recipe.description == 'A plugin.'
    assert recipe.origin == 'entry point pkg:web'
    assert [item.name for item in recipe.arguments()] == ['size']
    report = recipe.run('remote', {'size': 3})
    assert recipe.plugin.calls == [('1', 'remote', True, {'size': '3'})]
    assert [step.result for step in report.steps] == [manifest.Result.RAN]
    assert report.changed
    assert [step.path for step in recipe.plan('remote')] == ['web 1']
    assert len(recipe.content_key()) == 64
    assert recipe.content_key() != recipe.content_key({'size': 3})


def test_plugin_test_only(plugins):
    plugins['web'] = Plugin()
    recipe = recipes.get('web', '2')
    report = recipe.run('remote', reconcile=False)
    assert recipe.plugin.calls == [('2', 'remote', False, {'size': '1'})]
    assert not report.changed


def test_plugin_that_only_validates(plugins):
    class Checks(Plugin):
        # Not there.
        pack_image = property()

        def validate_images(
            self, version, remotes, reconcile=True, image_arguments=None
        ):
            self.calls.append([remote._remote for remote in remotes])

    plugins['web'] = Checks()
    recipes.get('web', '1').run('remote', reconcile=False)
    assert plugins['web'].calls == [['remote']]


def test_machines_that_run_and_images(plugins):
    """Each has a method of its own, where the plugin has both."""

    class Both(Plugin):
        def validate_images(
            self, version, remotes, reconcile=True, image_arguments=None
        ):
            [remote] = remotes
            self.calls.append(('machine', version, reconcile, remote.runs))

    class Machine(fake.FakeRemote):
        runs = True

    plugins['web'] = Both()
    recipe = recipes.get('web', '1')
    recipe.run(Machine(), reconcile=False)
    assert plugins['web'].calls == [('machine', '1', False, True)]
    recipe.run(fake.FakeRemote())
    assert plugins['web'].calls[1:] == [('1', mock.ANY, True, {'size': '1'})]
    # One that has none for machines does for them what it does for images.
    plugins['other'] = Plugin()
    recipes.get('other', '1').run(Machine())
    assert len(plugins['other'].calls) == 1


def test_plugin_arguments_are_checked(plugins):
    plugins['web'] = Plugin()
    with pytest.raises(exception.InvalidArguments, match='unknown argument'):
        recipes.get('web', '1').run('remote', {'colour': 'red'})
    assert plugins['web'].calls == []


def test_sahara_argument(plugins):
    plugins['web'] = Plugin()
    plugins['web'].get_image_arguments = lambda version: [
        types.SimpleNamespace(
            name='v', default=5, description=None, required=False, choices=[5]
        )
    ]
    [argument] = recipes.get('web', '1').arguments()
    assert argument == manifest.Argument('v', default='5', choices=('5',))


@pytest.mark.parametrize('answer', [None, NotImplemented])
def test_plugin_without_images(plugins, answer):
    plugins['web'] = Plugin()
    plugins['web'].get_image_arguments = lambda version: answer
    with pytest.raises(exception.InvalidRecipe, match='makes no images'):
        recipes.get('web', '1').arguments()


def test_plugin_report_is_passed_on(plugins):
    report = manifest.Report(distro='debian')
    plugins['web'] = Plugin()
    plugins['web'].pack_image = lambda *args, **kwargs: report
    assert recipes.get('web', '1').run('remote') is report


@pytest.mark.parametrize(
    'raised',
    [ValueError('no'), SystemExit('no'), exception.StepFailed('no')],
)
def test_plugin_that_fails(plugins, raised):
    class Monitor(manifest.Monitor):
        def step_finished(self, step, result):
            self.result = result.result

    def pack_image(*args, **kwargs):
        raise raised

    plugins['web'] = Plugin()
    plugins['web'].pack_image = pack_image
    monitor = Monitor()
    with pytest.raises(exception.StepFailed, match='no') as caught:
        recipes.get('web', '1').run('remote', monitor=monitor)
    assert monitor.result is manifest.Result.FAILED
    assert caught.value.report.count(manifest.Result.FAILED) == 1


class Lines(manifest.Monitor):
    def __init__(self):
        self.lines = []

    def output(self, step, stream, line):
        # A monitor prints as well.
        print(f'monitor: {line}')
        self.lines.append((step.path, stream, line))


def test_what_a_plugin_prints(plugins, capsys):
    class Prints(Plugin):
        def get_image_arguments(self, version):
            return [
                manifest.Argument('token', default='', hidden=True),
                manifest.Argument('public', default='', hidden=True),
            ]

        def pack_image(self, version, remote, *args, **kwargs):
            values = kwargs['image_arguments']
            print('printed', values['token'])
            print('no end', end='')
            logging.getLogger('pkg.inner').info('logged %s', 'it')
            logging.getLogger('pkg').debug('not this')
            seen = []
            remote.run(['x'], on_output=lambda *piece: seen.append(piece))
            assert seen == [('stdout', 'of a command\n')]
            raise RuntimeError(f'refused {values["token"]}')

    class Remote:
        def run(self, argv, *, on_output):
            on_output('stdout', 'of a command\n')

    plugins['web'] = Prints()
    monitor = Lines()
    with pytest.raises(exception.StepFailed) as caught:
        recipes.get('web', '1').run(
            Remote(), {'token': 'se-cret'}, monitor=monitor
        )
    assert monitor.lines == [
        ('web 1', 'stdout', 'printed ***'),
        ('web 1', 'stderr', 'logged it'),
        ('web 1', 'stdout', 'no endof a command'),
    ]
    assert caught.value.reason.endswith('RuntimeError: refused ***')
    assert caught.value.output.splitlines()[0] == 'printed ***'
    assert 'se-cret' not in str(caught.value.report.to_dict())
    assert capsys.readouterr().out.splitlines() == [
        f'monitor: {line}' for _, _, line in monitor.lines
    ]
    assert logging.getLogger('pkg').handlers == []


@pytest.mark.parametrize(
    'wrong', [5, [object()], 'x', [types.SimpleNamespace(name=7)]]
)
def test_a_plugin_whose_arguments_are_none(plugins, wrong):
    plugins['web'] = Plugin()
    plugins['web'].get_image_arguments = lambda version: wrong
    with pytest.raises(exception.InvalidRecipe):
        recipes.get('web', '1').arguments()


def test_a_plugin_whose_key_is_none(plugins):
    plugins['web'] = Plugin()
    plugins['web'].content_key = lambda version, values: object()
    with pytest.raises(exception.StepFailed, match='returned no text'):
        recipes.get('web', '1').content_key()


class NoVersions:
    pass


class Ends:
    def get_versions(self):
        raise SystemExit(0)


@pytest.mark.parametrize('broken', [ImportError('gone'), NoVersions, Ends])
def test_broken_plugin_is_in_nobodys_way(plugins, broken):
    plugins['bad'] = broken
    plugins['web'] = Plugin
    assert 'web' in recipes.find()
    with pytest.raises(exception.InvalidRecipe, match='"bad" cannot be used'):
        recipes.get('bad', '1')


def test_recipes_share_a_directory(recipe_path, write):
    write(
        'web/9/manifest.yaml',
        'validators: [{include: here.yaml}, {include: guest-agent.yaml}]\n',
    )
    write('common/here.yaml', 'validators: [{script: said.sh}]\n')
    write('common/said.sh', 'echo shared\n')
    write('web/common/said.sh', 'echo own\n')
    # It is no recipe, whatever is in it.
    write('common/1/manifest.yaml', 'validators: []\n')
    found = recipes.find([recipe_path])
    assert 'common' not in found
    recipe = found['web']['9']
    # What our recipes share is there for others, too.
    assert 'guest-agent' in {item.name for item in recipe.arguments()}
    first = recipe.load().validators[0].children()[0]
    assert first.content == b'echo own\n'
