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
"""Base images that every integration test starts from.

Each is made once per session by imagebuild-bootstrap, and is read only: put
an overlay over it or copy it. With IMAGEBUILD_TEST_CACHE naming a directory
they are kept there for the sessions to come; remove the files to have them
made again.

Guests are opened in the sandbox. Tests that are marked "both_isolations" are
run once more over the appliance, which is emulated here: those that show what
it alone does, and one of each kind. With IMAGEBUILD_TEST_ISOLATIONS=both every
test is run over both.
"""

import fcntl
import os
import pathlib
import shutil
import subprocess
from collections.abc import Generator

import pytest

from imagebuild.drivers import bootstrap
from imagebuild.drivers import isolations
from tests.integration import machines
from tests.integration.redhat_guest import redhat_image  # noqa: F401

CACHE_VARIABLE = 'IMAGEBUILD_TEST_CACHE'
ISOLATIONS_VARIABLE = 'IMAGEBUILD_TEST_ISOLATIONS'
ISOLATIONS: tuple[isolations.Isolation, ...] = ('sandbox', 'appliance')
TEST_OS = 'debian-12'


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Choose what the guests of a test are opened in.

    A test that has its own parameter of this name chooses for itself.
    """
    own = [
        name
        for mark in metafunc.definition.iter_markers('parametrize')
        for name in str(mark.args[0]).replace(',', ' ').split()
    ]
    if 'isolation' in metafunc.fixturenames and 'isolation' not in own:
        both = (
            metafunc.definition.get_closest_marker('both_isolations')
            or os.environ.get(ISOLATIONS_VARIABLE) == 'both'
        )
        chosen = ISOLATIONS if both else ISOLATIONS[:1]
        metafunc.parametrize(
            'isolation', chosen, indirect=True, scope='module'
        )


@pytest.fixture(scope='module')
def isolation(request: pytest.FixtureRequest) -> isolations.Isolation:
    """In what a test's guest is opened."""
    return request.param


@pytest.fixture(scope='session')
def image_cache(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The directory that base images are kept in."""
    kept = os.environ.get(CACHE_VARIABLE)
    if not kept:
        return tmp_path_factory.mktemp('base-images')
    directory = pathlib.Path(kept)
    directory.mkdir(parents=True, exist_ok=True)
    return directory


@pytest.fixture(scope='session')
def minimal_image(image_cache: pathlib.Path) -> pathlib.Path:
    """A minimal Debian 12: a qcow2 file, read only. About 25 s."""
    return _image(image_cache, minimal=True)


@pytest.fixture(scope='session')
def bootable_image(image_cache: pathlib.Path) -> pathlib.Path:
    """A bootable Debian 12: a qcow2 file, read only. About 70 s."""
    return _image(image_cache, minimal=False)


def _image(cache: pathlib.Path, *, minimal: bool) -> pathlib.Path:
    driver = bootstrap.BootstrapDriver()
    assert not driver.missing(), driver.missing()
    kind = 'minimal' if minimal else 'bootable'
    image = cache / f'{TEST_OS}-{kind}.qcow2'
    # Sessions that share the directory wait for each other.
    with (cache / f'.{kind}.lock').open('w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not image.exists():
            driver.create_disk({'os': TEST_OS, 'minimal': minimal}, image)
            image.chmod(0o444)
    return image


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that fails with a machine shows what its sshd has said."""
    report = yield
    machine = getattr(item, 'funcargs', {}).get('machine')
    if report.failed and isinstance(machine, machines.Machine):
        report.sections.append(('sshd.log', machine.shown()))
    return report


@pytest.fixture(scope='session')
def machine_tree(
    image_cache: pathlib.Path, minimal_image: pathlib.Path
) -> pathlib.Path:
    """The files of a minimal Debian 12 with an sshd. About 25 s."""
    tree = image_cache / f'{TEST_OS}-machine'
    with (image_cache / '.machine.lock').open('w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not tree.exists():
            machines.make_tree(minimal_image, tree)
    return tree


@pytest.fixture(scope='session')
def plain_tree(
    minimal_image: pathlib.Path, tmp_path_factory: pytest.TempPathFactory
) -> pathlib.Path:
    """The files of the minimal image. About 3 s."""
    directory = tmp_path_factory.mktemp('plain')
    script = f"""
cd {directory}
mkdir tree mounted
qemu-img convert -O raw {minimal_image} raw
loop=$(losetup --find --show --read-only --offset={1024**2} raw)
mount -o ro $loop mounted
losetup --detach $loop
cp -a mounted/. tree
"""
    subprocess.run(['unshare', '--mount', 'sh', '-ec', script], check=True)
    (directory / 'raw').unlink()
    return directory / 'tree'


@pytest.fixture
def minimal_copy(
    minimal_image: pathlib.Path, tmp_path: pathlib.Path
) -> pathlib.Path:
    """A copy of the minimal image that a test may change. Under 1 s."""
    copy = tmp_path / 'minimal.qcow2'
    shutil.copyfile(minimal_image, copy)
    return copy
