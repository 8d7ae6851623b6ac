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
"""What a server leaves in its disk, beside what every machine does."""

from __future__ import annotations

import shlex

# What would be written again while the server stops is ended first;
# cloud-init makes the network's files and the name of each new server.
_TEXT = r"""
systemctl stop systemd-random-seed.service 2> /dev/null
rm -f /var/lib/systemd/random-seed
journalctl --relinquish-var 2> /dev/null
rm -rf /var/log/journal/*
rm -f /etc/netplan/50-cloud-init.yaml \
    /etc/network/interfaces.d/50-cloud-init* \
    /etc/systemd/network/10-cloud-init-*.network
case "$(cat /etc/hostname 2> /dev/null)" in
@SERVER@ | @SERVER@.*) : > /etc/hostname ;;
esac
"""


def text(server: str) -> str:
    """Shell text that removes it.

    :param server: the name of the server.
    """
    return _TEXT.replace('@SERVER@', shlex.quote(server.lower()))
