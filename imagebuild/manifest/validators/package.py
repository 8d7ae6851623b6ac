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
"""``package``: packages of the distribution are installed."""

from __future__ import annotations

import dataclasses
import re
import shlex
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import ClassVar
from typing import Self

from imagebuild import distros
from imagebuild import exception
from imagebuild.common import guest_program
from imagebuild.common import json_schema
from imagebuild.common import strict_yaml
from imagebuild.manifest import plans
from imagebuild.manifest import shell_compiler
from imagebuild.manifest.validators import base

_NAME: Mapping[str, Any] = {
    'title': 'a package name',
    'type': 'string',
    # What apt, dnf and zypper take as a name; never an option.
    'pattern': r'^[A-Za-z0-9@/][A-Za-z0-9@/+._:()~^-]*$(?!\n)',
    'maxLength': 255,
    'x-message': 'is not a package name',
}
_VERSION: Mapping[str, Any] = {
    # YAML reads 1.10 and 5:20.10 as numbers; as written, they are versions.
    'type': ['string', 'number'],
    'pattern': r'^[A-Za-z0-9][A-Za-z0-9+._:~^*-]*$(?!\n)',
    'maxLength': 255,
}
#: The message for ``{nginx: "1.22"}``; see :func:`json_schema.check`.
VERSION_ALONE = (
    'cannot stand for a version by itself; write {<key>: {version: ...}}'
)
_WRITTEN = re.compile(_VERSION['pattern'])
_VERSIONED: Mapping[str, Any] = {
    'title': 'a mapping of package name to {version: ...}',
    'type': 'object',
    'minProperties': 1,
    'propertyNames': _NAME,
    'additionalProperties': {
        'type': ['object', 'null'],
        'properties': {'version': _VERSION},
        'additionalProperties': False,
        'x-message': VERSION_ALONE,
    },
}
#: JSON schema of one package, or of several with their versions.
ONE: Mapping[str, Any] = {'anyOf': [_NAME, _VERSIONED]}
#: Endings of package files, which are no names: nothing is installed under
#: the path of one.
_FILES = ('.deb', '.rpm')


@dataclasses.dataclass
class Transaction:
    """Packages of neighbouring steps, installed together.

    :ivar wanted: of all of them.
    :ivar installed: those that the common transaction brought.
    """

    wanted: Sequence[distros.Package] = ()
    installed: frozenset[distros.Package] = frozenset()


class PackageValidator(base.Validator):
    """Packages are installed, at their version if one is named.

    Neighbouring steps are installed in one transaction.
    """

    batched: ClassVar[bool] = True

    type_name: ClassVar[str] = 'package'
    schema: ClassVar[Mapping[str, Any]] = {
        'anyOf': [
            _NAME,
            _VERSIONED,
            {
                'title': 'a list of those',
                'type': 'array',
                'maxItems': json_schema.MANY,
                'items': ONE,
                'minItems': 1,
            },
        ]
    }

    def __init__(self, path: str, wanted: Sequence[distros.Package]) -> None:
        super().__init__(path)
        self.wanted = tuple(wanted)

    @classmethod
    def from_spec(cls, spec: Any, builder: base.Builder) -> Self:
        items = (
            [(builder.at(index), item) for index, item in enumerate(spec)]
            if isinstance(spec, list)
            else [(builder, spec)]
        )
        wanted = [
            package
            for inner, item in items
            for package in _packages(item, inner)
        ]
        seen: dict[str, str | None] = {}
        for package in wanted:
            if seen.setdefault(package.name, package.version) != (
                package.version
            ):
                builder.problem(
                    f'"{package.name}" is wanted at two different versions'
                )
        return cls(builder.path, tuple(dict.fromkeys(wanted)))

    def describe(self) -> str:
        names = ', '.join(str(package) for package in self.wanted[:6])
        more = len(self.wanted) - 6
        return f'package {names}' + (f' and {more} more' if more > 0 else '')

    def packages(self) -> Sequence[distros.Package]:
        return self.wanted

    def check(self, context: base.Context, record: base.StepRecord) -> None:
        missing = context.packages.missing(self.wanted)
        if missing:
            raise exception.StepFailed(self._reason(context, missing))

    def apply(self, context: base.Context, record: base.StepRecord) -> None:
        self._apply(context, record, Transaction())

    @classmethod
    def run_batch(cls, steps: Sequence[Self], context: base.Context) -> None:
        """Run neighbouring steps; what all of them want is installed at once.

        :raises StepFailed: in reconcile.
        """
        transaction = Transaction()
        if context.reconcile and len(steps) > 1 and _may_merge(steps):
            transaction.wanted = [
                item for step in steps for item in step.wanted
            ]
        for step in steps:
            step._run_with(context, transaction)

    def _run_with(
        self, context: base.Context, transaction: Transaction
    ) -> None:
        # The first of the batch that installs something fills the
        # transaction in; the others find their packages there.
        with context.step(self) as record:
            if context.reconcile:
                self._apply(context, record, transaction)
            else:
                self.check(context, record)

    def _apply(
        self,
        context: base.Context,
        record: base.StepRecord,
        transaction: Transaction,
    ) -> None:
        missing = context.packages.missing(self.wanted)
        brought = [
            item for item in self.wanted if item in transaction.installed
        ]
        if not missing:
            self._report(record, brought)
            return
        self._install(context, record, transaction, missing)
        still = context.packages.missing(self.wanted)
        if still:
            raise exception.StepFailed(
                'after the installation ' + self._reason(context, still)
            )
        self._report(record, [*brought, *missing])

    def _install(
        self,
        context: base.Context,
        record: base.StepRecord,
        transaction: Transaction,
        missing: Sequence[distros.Package],
    ) -> None:
        together = list(
            dict.fromkeys(context.packages.missing(transaction.wanted))
        )
        transaction.wanted = ()
        if len(together) > len(missing):
            try:
                context.packages.install(together, record.on_output)
                transaction.installed = frozenset(together)
                return
            except exception.StepError:
                # Which of them is to blame shows when each goes alone.
                # Some may have been installed nevertheless.
                missing = context.packages.missing(self.wanted)
        if missing:
            context.packages.install(missing, record.on_output)

    @staticmethod
    def _report(
        record: base.StepRecord, installed: Sequence[distros.Package]
    ) -> None:
        if installed:
            record.result = base.Result.CHANGED
            record.message = 'installed ' + ', '.join(map(str, installed))
        else:
            record.message = 'already installed'

    @staticmethod
    def _reason(
        context: base.Context, missing: Sequence[distros.Package]
    ) -> str:
        parts = []
        for package in missing:
            found = context.packages.version(package.name)
            if found is None:
                parts.append(f'{package} is not installed')
            else:
                parts.append(f'{package} is installed at version {found}')
        return '; '.join(parts)

    def plan(self, context: base.Context) -> Iterator[plans.PlannedStep]:
        missing = context.packages.missing(self.wanted)
        commands = context.distro.install_plan(
            missing, refresh=context.packages.refresh_needed
        )
        yield plans.PlannedStep(
            self.path,
            self.type_name,
            context.describe(self),
            state='missing' if missing else 'holds',
            commands=tuple(map(shlex.join, commands)) if missing else (),
        )

    def argument_names(self) -> Sequence[str]:
        return ()

    def in_shell(
        self, compiler: shell_compiler.Compiler
    ) -> Iterator[guest_program.GuestStep]:
        script = compiler.installing(self.wanted)
        yield compiler.step(self, f'imagebuild_did=\n{script}imagebuild_end\n')

    def key(self) -> Any:
        return {
            'package': [
                [package.name, package.version] for package in self.wanted
            ]
        }


def _may_merge(steps: Sequence[PackageValidator]) -> bool:
    """One transaction must mean the same as several.

    It does unless a package is named twice with different versions.
    """
    versions: dict[str, str | None] = {}
    for step in steps:
        for item in step.wanted:
            if versions.setdefault(item.name, item.version) != item.version:
                return False
    return True


def _packages(item: Any, builder: base.Builder) -> Iterator[distros.Package]:
    pairs = {item: None} if isinstance(item, str) else item
    for name, properties in pairs.items():
        if name.endswith(_FILES):
            builder.problem(
                f'"{name}" is a package file, not a package name; install it '
                'with a script'
            )
        version = (properties or {}).get('version')
        yield distros.Package(name, _version(name, version, builder))


def _version(name: str, value: Any, builder: base.Builder) -> str | None:
    """A version as it was written; what lost its writing is refused."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, strict_yaml.WrittenInt | strict_yaml.WrittenFloat):
        if _WRITTEN.fullmatch(value.text):
            return value.text
        reason = f'"{value.text}" is not a version of "{name}"'
    else:
        reason = (
            f'write the version of "{name}" in quotation marks: {value} '
            'may have been written differently'
        )
    builder.problem(reason, name, 'version')
    return None
