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
"""The policies: rules and their defaults, one module a resource.

Operators override them in ``policy.yaml``; ``oslopolicy-sample-generator
--namespace imagebuild`` writes a file with every rule and what it is for.
"""

from __future__ import annotations

from oslo_config import cfg
from oslo_policy import policy

from imagebuild.policies import base
from imagebuild.policies import builds
from imagebuild.policies import channels
from imagebuild.policies import conductors
from imagebuild.policies import destinations
from imagebuild.policies import drivers
from imagebuild.policies import operating_systems
from imagebuild.policies import packages
from imagebuild.policies import pipelines
from imagebuild.policies import recipes
from imagebuild.policies import uploads
from imagebuild.policies import validations

__all__ = [
    'base',
    'builds',
    'channels',
    'conductors',
    'destinations',
    'drivers',
    'operating_systems',
    'packages',
    'pipelines',
    'recipes',
    'uploads',
    'validations',
    'get_enforcer',
    'list_rules',
    'make_enforcer',
]


def list_rules() -> list[policy.RuleDefault]:
    """Every rule, for the enforcer and the sample generator."""
    return [
        *base.RULES,
        *builds.RULES,
        *channels.RULES,
        *conductors.RULES,
        *destinations.RULES,
        *drivers.RULES,
        *operating_systems.RULES,
        *packages.RULES,
        *pipelines.RULES,
        *recipes.RULES,
        *uploads.RULES,
        *validations.RULES,
    ]


def make_enforcer(conf: cfg.ConfigOpts) -> policy.Enforcer:
    """Return an enforcer of our rules and the operator's policy file.

    :param conf: with its files read; ``[oslo_policy]`` is registered here.
    """
    enforcer = policy.Enforcer(conf)
    enforcer.register_defaults(list_rules())
    return enforcer


def get_enforcer() -> policy.Enforcer:
    """Entry point of the oslo.policy programs, with the usual files."""
    # The global object: oslopolicy-validator reads its options there.
    conf = cfg.CONF
    conf([], project='imagebuild')
    return make_enforcer(conf)
