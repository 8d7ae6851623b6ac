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
"""Properties and attributes of ``OS::ImageBuild::Image``.

The reference in the documentation is made from these tables
(``tools/heat_reference.py``), so a description is written for the author of
a template.
"""

from __future__ import annotations

from typing import Any

from heat.common.i18n import _
from heat.engine import attributes
from heat.engine import constraints
from heat.engine import properties

Schema = properties.Schema

#: Decide what is in the image, or in which form and where it is: a change
#: makes a new image.
CONTENT = (
    OS, BASE_IMAGE, PACKAGES, PIP_PACKAGES, FILES, RECIPE, RECIPE_VERSION,
    MANIFEST, RESOURCES, ARGUMENTS, DRIVER, DRIVER_OPTIONS, DISK_FORMAT,
    CONTAINER_FORMAT, DESTINATIONS, ELEMENTS, BOOT_TEST, BASE_CHANNEL,
) = (
    'os', 'base_image', 'packages', 'pip_packages', 'files', 'recipe',
    'recipe_version', 'manifest', 'resources', 'arguments', 'driver',
    'driver_options', 'disk_format', 'container_format', 'destinations',
    'elements', 'boot_test', 'base_channel',
)  # fmt: skip

#: Those that say what is in a system, however it was made.
IN_A_SYSTEM = (
    PACKAGES, PIP_PACKAGES, FILES, RECIPE, RECIPE_VERSION, MANIFEST, RESOURCES,
    ARGUMENTS,
)  # fmt: skip

#: Say something about the image: a change is made to the image there is.
ABOUT = (
    NAME, TAGS, VISIBILITY, PROTECTED, MEMBERS, IMAGE_PROPERTIES, MIN_DISK,
    MIN_RAM,
) = (
    'name', 'tags', 'visibility', 'protected', 'members', 'properties',
    'min_disk', 'min_ram',
)  # fmt: skip

#: Say how a build goes: a change holds for the next one.
BUILDING = (REUSE, MAX_AGE, TIMEOUT) = ('reuse', 'max_age', 'timeout')

#: Say what becomes of an image that is there.
PROMOTION = (CHANNEL, CHANNEL_TAGS) = ('channel', 'channel_tags')

#: Of ``base_channel``.
CHANNEL_NAME = 'name'

#: Names: the blanks around them mean nothing.
NAMES = (OS, RECIPE, RECIPE_VERSION, DRIVER, CHANNEL)
LISTS_OF_NAMES = (
    PACKAGES, PIP_PACKAGES, DESTINATIONS, TAGS, MEMBERS, ELEMENTS,
    CHANNEL_TAGS,
)  # fmt: skip

#: Of an entry of ``files``.
FILE_KEYS = (PATH, TEXT, BASE64, MODE, OWNER, GROUP) = (
    'path', 'content', 'content_base64', 'mode', 'owner', 'group',
)  # fmt: skip

ATTRIBUTES = (
    IMAGE_ID, BUILD_ID, STATUS, PROGRESS, CONTENT_KEY, OS_HASH_VALUE, SIZE,
    LOG, IMAGES, BOOTED,
) = (
    'image_id', 'build_id', 'status', 'progress', 'content_key',
    'os_hash_value', 'size', 'log', 'images', 'boot_test',
)  # fmt: skip


def _string(description: str, *limits: Any, **options: Any) -> Any:
    return Schema(Schema.STRING, description, constraints=[*limits], **options)


def _list(description: str, item: Any = None, **options: Any) -> Any:
    return Schema(Schema.LIST, description, schema=item, **options)


def _map(description: str, **options: Any) -> Any:
    return Schema(Schema.MAP, description, **options)


def _number(description: str, least: int = 0, **options: Any) -> Any:
    return Schema(
        Schema.INTEGER,
        description,
        constraints=[constraints.Range(min=least, max=2**31 - 1)],
        **options,
    )


def _length(most: int = 255) -> Any:
    return constraints.Length(min=1, max=most)


# Nothing in a map is "required": Heat would miss it where the whole map is a
# value of a resource that does not exist yet. See validation.py.
_FILE = Schema(
    Schema.MAP,
    schema={
        PATH: _string(
            _('Absolute path in the image. Required.'),
            constraints.AllowedPattern('/.+'),
        ),
        TEXT: _string(_('Its text; get_file puts a file there.')),
        BASE64: _string(_('Its bytes in base64, instead of a text.')),
        MODE: _string(
            # Without quotes YAML makes 420 of 0644, which is a mode too.
            _('Octal digits that begin with 0, in quotes: "0644".'),
            constraints.AllowedPattern('0[0-7]{3,4}'),
        ),
        OWNER: _string(_('User that owns it.')),
        GROUP: _string(_('Group that owns it.')),
    },
)

PROPERTIES: dict[str, Any] = {
    OS: _string(
        _(
            'Operating system of the image, one of the catalogue (openstack '
            'image os list). It or base_image is needed.'
        ),
        constraints.CustomConstraint('imagebuild.os'),
    ),
    BASE_IMAGE: _string(
        _(
            'Id or name of the Glance image to build upon, instead of the '
            'one that os stands for. A name is looked up when the image is '
            'built.'
        ),
        constraints.CustomConstraint('imagebuild.base_image'),
    ),
    BASE_CHANNEL: Schema(
        Schema.MAP,
        _(
            'Channel whose current image to build upon, instead of os or '
            'base_image. It is looked up when the image is built: what is '
            'promoted later changes nothing.'
        ),
        schema={
            CHANNEL_NAME: _string(_('Name of its images.'), _length()),
            CHANNEL: _string(_('Channel, such as prod.'), _length()),
        },
    ),
    PACKAGES: _list(
        _(
            'Packages of the distribution to install. Each is a name or, '
            'with a version, a map such as {nginx: {version: 1.22.1-9}}.'
        )
    ),
    PIP_PACKAGES: _list(
        _('Python packages to install, as pip writes its requirements.'),
        _string(_('Requirement such as "flask>=3".'), _length(1024)),
    ),
    FILES: _list(_('Files to write.'), _FILE),
    RECIPE: _string(
        _(
            'Recipe to apply, one of the service (openstack image recipe '
            'list). Not together with manifest.'
        ),
        constraints.CustomConstraint('imagebuild.recipe'),
    ),
    RECIPE_VERSION: _string(
        _(
            'Version of the recipe. Needed only if the service has several. '
            'In quotes: "7", since Heat makes a number of 7.10.'
        ),
        _length(),
    ),
    MANIFEST: _map(_('Manifest to apply, as it would be in a manifest file.')),
    RESOURCES: _map(
        _(
            'Scripts and files that the manifest names: the name there to '
            'the text; get_file puts a file there.'
        )
    ),
    ARGUMENTS: _map(
        _(
            'Values of the arguments that the recipe or manifest declares. '
            'Heat keeps them in its database: give the template parameter '
            'of a secret "hidden: true".'
        )
    ),
    DRIVER: _string(
        _("What makes the disk; the operating system's own by default."),
        _length(64),
    ),
    DRIVER_OPTIONS: _map(
        _("Options of the driver, over the operating system's own.")
    ),
    ELEMENTS: _list(
        _(
            'Elements of diskimage-builder that the disk is made of, besides '
            'those of the operating system; for drivers that make one, such '
            'as diskimage_builder.'
        ),
        _string(_('Name of an element.'), _length(64)),
    ),
    DISK_FORMAT: _string(
        _('Format of the disk; qcow2 or that of the cloud by default.'),
        constraints.AllowedValues(['qcow2', 'raw', 'vmdk', 'vhd', 'vdi']),
    ),
    CONTAINER_FORMAT: _string(
        _(
            'Format of what holds the disk; bare or that of the cloud by '
            'default.'
        ),
        constraints.AllowedValues(
            ['bare', 'ovf', 'ova', 'docker', 'compressed']
        ),
    ),
    DESTINATIONS: _list(
        _(
            'Clouds to upload the image to, by the names that the operator '
            'gave them; this cloud by default. get_resource and image_id '
            'stay empty if this cloud is not among them.'
        ),
        _string(_('Name of a cloud.'), _length()),
    ),
    BOOT_TEST: _map(
        _(
            'Boot the image once before it is uploaded, in a machine that is '
            'thrown away; the stack fails if it does not boot as expected. '
            'What may be named: console (texts), cloud_init, systemd (true), '
            'ports, commands, firmware (bios or uefi), memory (MiB), cpus, '
            'disk_size (GiB) and timeout (seconds); {} for what the operator '
            'has set. firmware, memory, cpus and disk_size are refused for '
            'images that a cloud makes, which that cloud boots.'
        )
    ),
    NAME: _string(
        _(
            'Name of the image; by default made of the names of stack and '
            'resource.'
        ),
        _length(),
        update_allowed=True,
    ),
    TAGS: _list(
        _('Tags of the image.'),
        _string(_('Tag.'), _length()),
        default=[],
        update_allowed=True,
    ),
    VISIBILITY: _string(
        _('Who may see the image.'),
        constraints.AllowedValues(
            ['private', 'shared', 'community', 'public']
        ),
        default='shared',
        update_allowed=True,
    ),
    PROTECTED: Schema(
        Schema.BOOLEAN,
        _(
            'Whether Glance refuses to delete the image. While it does, the '
            'resource cannot be deleted either.'
        ),
        default=False,
        update_allowed=True,
    ),
    MEMBERS: _list(
        _(
            'Ids of the projects that the image is shared with; only with '
            'visibility shared.'
        ),
        _string(_('Id of a project.'), _length()),
        default=[],
        update_allowed=True,
    ),
    IMAGE_PROPERTIES: _map(
        _('Properties of the image, such as hw_disk_bus: scsi.'),
        default={},
        update_allowed=True,
    ),
    MIN_DISK: _number(
        _(
            'Disk that a server needs at least, in GiB; never less than what '
            'the operating system and the recipe need.'
        ),
        update_allowed=True,
    ),
    MIN_RAM: _number(
        _('Memory that a server needs at least, in MiB.'),
        update_allowed=True,
    ),
    CHANNEL: _string(
        _(
            'Channel, such as prod, whose current image it becomes once it '
            'is built, under its name; needs name. A change promotes it to '
            'the other channel; the one before keeps it. Deleting the '
            'resource takes nothing from a channel: the image is deleted '
            'when no channel has it any more.'
        ),
        constraints.CustomConstraint('imagebuild.channel'),
        update_allowed=True,
    ),
    CHANNEL_TAGS: _list(
        _(
            'Further tags that go with the channel, such as the '
            "amp_image_tag of Octavia; by default those that it has."
        ),
        _string(_('Tag.'), _length()),
        update_allowed=True,
    ),
    REUSE: _string(
        _(
            'Whether an image of the same content, built in this project '
            'before, is used instead of building another. A change holds '
            'for the next build.'
        ),
        constraints.AllowedValues(['always', 'never']),
        default='always',
        update_allowed=True,
    ),
    MAX_AGE: _number(
        _(
            'Seconds; an image older than that is not reused. A change '
            'holds for the next build.'
        ),
        update_allowed=True,
    ),
    TIMEOUT: _number(
        _(
            "Seconds that a build may take, no more than the stack's own "
            'time limit; by default what the operator set. A change holds '
            'for the next build.'
        ),
        least=1,
        update_allowed=True,
    ),
}

Attribute = attributes.Schema


def _attribute(description: str, kind: str, *, live: bool = False) -> Any:
    mode = Attribute.CACHE_NONE if live else Attribute.CACHE_LOCAL
    return Attribute(description, type=kind, cache_mode=mode)


ATTRIBUTES_SCHEMA: dict[str, Any] = {
    IMAGE_ID: _attribute(
        _('Id of the Glance image, as get_resource gives it.'),
        Attribute.STRING,
    ),
    BUILD_ID: _attribute(
        _('Id of the build: openstack image build show.'), Attribute.STRING
    ),
    STATUS: _attribute(
        _(
            'Status of the build. In a preview of a stack: what creating it '
            'would do.'
        ),
        Attribute.STRING,
        live=True,
    ),
    PROGRESS: _attribute(
        _(
            'How far the build is: "phase" and "percent" of the whole, "done" '
            'and "total" steps, the "step" in words, "elapsed" seconds and, '
            'where earlier builds tell it, about how many are "remaining".'
        ),
        Attribute.MAP,
        live=True,
    ),
    CONTENT_KEY: _attribute(
        _('Digest of everything that decides the content of the image.'),
        Attribute.STRING,
    ),
    OS_HASH_VALUE: _attribute(
        _("Glance's checksum of the image."), Attribute.STRING
    ),
    SIZE: _attribute(_('Size of the image in bytes.'), Attribute.INTEGER),
    LOG: _attribute(
        _("The end of the build's log."), Attribute.STRING, live=True
    ),
    IMAGES: _attribute(
        _('The image in every destination: destination, image_id, status.'),
        Attribute.LIST,
        live=True,
    ),
    BOOTED: _attribute(
        _(
            'What came of the boot test: passed, seconds, reason, findings '
            '(what, holds, message, seconds) and telling lines of the '
            'console.'
        ),
        Attribute.MAP,
    ),
}
