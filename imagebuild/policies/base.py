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
"""The roles that other rules refer to."""

from __future__ import annotations

from oslo_policy import policy

#: All of the service works on behalf of a project.
SCOPE = ['project']

ADMIN = 'rule:admin'
PROJECT_MEMBER = 'rule:project_member'
PROJECT_READER = 'rule:project_reader'
MEMBER_OR_ADMIN = f'{PROJECT_MEMBER} or {ADMIN}'
READER_OR_ADMIN = f'{PROJECT_READER} or {ADMIN}'

RULES = [
    policy.RuleDefault(
        'admin',
        'role:admin',
        description='An operator: sees and may do everything.',
    ),
    policy.RuleDefault(
        'project_member',
        'role:member and project_id:%(project_id)s',
        description='Someone who works in the project.',
    ),
    policy.RuleDefault(
        'project_reader',
        'role:reader and project_id:%(project_id)s',
        description='Someone who may read what the project has.',
    ),
]


def rule(
    name: str, check: str, description: str, *operations: str
) -> policy.DocumentedRuleDefault:
    """Make one documented rule.

    :param name: ``image-build:<resource>:<action>``.
    :param check: who may by default.
    :param operations: requests it guards, such as ``GET /v1/builds``.
    """
    return policy.DocumentedRuleDefault(
        name=name,
        check_str=check,
        description=description,
        operations=[
            {'method': method, 'path': path}
            for method, path in (each.split() for each in operations)
        ],
        scope_types=SCOPE,
    )
