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
"""``cloud_init``: where a cloud's settings come from, and their defaults."""

from __future__ import annotations

from collections.abc import Collection
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import ClassVar
from typing import Self

import yaml

from imagebuild import distros
from imagebuild import exception
from imagebuild.common import json_schema
from imagebuild.common import strict_yaml
from imagebuild.manifest.validators import base
from imagebuild.manifest.validators import state

TARGET = '/etc/cloud/cloud.cfg.d/90_imagebuild.cfg'
_PACKAGE = distros.Package('cloud-init')
_DATASOURCES = (
    'Akamai', 'AliYun', 'AltCloud', 'Azure', 'Bigstep', 'CloudCIX',
    'CloudSigma', 'CloudStack', 'ConfigDrive', 'DigitalOcean', 'Ec2',
    'Exoscale', 'GCE', 'Hetzner', 'IBMCloud', 'LXD', 'MAAS', 'NWCS',
    'NoCloud', 'None', 'OVF', 'OpenNebula', 'OpenStack', 'Oracle',
    'RbxCloud', 'Scaleway', 'SmartOS', 'UpCloud', 'VMware', 'Vultr', 'WSL',
)  # fmt: skip


class CloudInitValidator(state.StateValidator):
    """cloud-init, which is installed, has a configuration of ours.

    ``yes``, ``no``, ``on`` and ``off`` and numbers reach cloud-init as they
    were written, so a piece of a cloud.cfg means the same here as there.
    """

    lasting: ClassVar[bool] = True
    type_name: ClassVar[str] = 'cloud_init'
    schema: ClassVar[Mapping[str, Any]] = {
        'type': 'object',
        'additionalProperties': False,
        'minProperties': 1,
        'properties': {
            'datasources': {
                'type': 'array',
                'maxItems': json_schema.MANY,
                'minItems': 1,
                'uniqueItems': True,
                'items': {'enum': list(_DATASOURCES)},
            },
            'config': {'type': 'object', 'minProperties': 1},
        },
    }

    def __init__(
        self, path: str, datasources: Sequence[str], content: bytes
    ) -> None:
        super().__init__(path)
        self.datasources = tuple(datasources)
        self.content = content

    @classmethod
    def from_spec(cls, spec: Any, builder: base.Builder) -> Self:
        datasources = spec.get('datasources', ())
        config = dict(spec.get('config', {}))
        if datasources and 'datasource_list' in config:
            builder.problem(
                '"datasources" sets this already', 'config', 'datasource_list'
            )
        if datasources:
            config['datasource_list'] = list(datasources)
        return cls(builder.path, datasources, _content(config))

    def describe(self) -> str:
        if self.datasources:
            return f'cloud-init with {state.listed(self.datasources)}'
        return 'cloud-init configuration'

    def packages(self) -> Sequence[distros.Package]:
        return (_PACKAGE,)

    def differences(self, context: base.Context) -> state.Differences:
        if context.packages.missing([_PACKAGE]):
            raise exception.StepFailed(
                'cloud-init is not installed; a "package" step before this '
                'one can install it'
            )
        try:
            found = context.remote.read_file(TARGET)
        except exception.RemoteFileNotFound:
            return {TARGET: [f'{TARGET} is missing']}
        if found != self.content:
            return {TARGET: [f'{TARGET} has another content']}
        return {}

    def change(
        self,
        context: base.Context,
        record: base.StepRecord,
        parts: Collection[str],
    ) -> str:
        context.remote.write_file(TARGET, self.content)
        return f'wrote {TARGET}'

    def commands(self, context: base.Context) -> Sequence[str]:
        return [f'write {TARGET}']

    def argument_names(self) -> Sequence[str]:
        return ()

    def key(self) -> Any:
        return {'cloud_init': self.content.decode()}


class _Dumper(yaml.SafeDumper):
    """Writes scalars as they were written in the manifest.

    cloud-init reads YAML 1.1, where ``yes`` is a boolean: in quotation marks,
    as PyYAML would write that text, it would be none.
    """

    # Anchors are valid YAML, but nobody expects them in a cloud.cfg.
    def ignore_aliases(self, data: Any) -> bool:
        return True

    def written(self, data: Any) -> yaml.ScalarNode:
        kind = 'int' if isinstance(data, int) else 'float'
        return self.represent_scalar(f'tag:yaml.org,2002:{kind}', data.text)

    def text(self, data: str) -> yaml.ScalarNode:
        if data.lower() in ('yes', 'no', 'on', 'off'):
            return self.represent_scalar('tag:yaml.org,2002:bool', data)
        return self.represent_str(data)


_Dumper.add_representer(strict_yaml.WrittenInt, _Dumper.written)
_Dumper.add_representer(strict_yaml.WrittenFloat, _Dumper.written)
_Dumper.add_representer(str, _Dumper.text)


def _content(config: Mapping[str, Any]) -> bytes:
    text = yaml.dump(
        config,
        Dumper=_Dumper,
        default_flow_style=False,
        allow_unicode=True,
        sort_keys=True,
    )
    return f'# Written by imagebuild.\n{text}'.encode()
