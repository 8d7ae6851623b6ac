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
"""Options of the libguestfs appliance and of what runs in it."""

from oslo_config import cfg

from imagebuild.appliance import appliance_settings

GROUP = cfg.OptGroup(
    'guestfs',
    title='The libguestfs appliance',
    help='The small virtual machine in which the inside of a disk image is '
    'changed.',
)

OPTS: list[cfg.Opt] = [
    cfg.IntOpt(
        'memory',
        min=512,
        sample_default='<a quarter of the host, 768 to 2048>',
        help="""
Memory of one appliance, in MiB.

Unset, it is a quarter of the host's memory, at least 768 and at most 2048
MiB, which suits package managers. Raise it when a recipe compiles or
compresses inside the image and is killed for want of memory; lower it when
many builds share a host. The memory is taken for as long as the build runs,
once for each build that runs at the same time.
""",
    ),
    cfg.IntOpt(
        'cpus',
        min=1,
        sample_default='<the CPUs of the host, at most 4>',
        help="""
Virtual CPUs of one appliance.

Unset, it has as many as this process may use on the host, at most 4; more
bring nothing to installing packages. Raise it for recipes that compile,
lower it when many builds share a host and slow each other down.
""",
    ),
    cfg.StrOpt(
        'isolation',
        default='appliance',
        sample_default='<appliance; auto in the local programs>',
        choices=[
            ('appliance', 'The appliance, a virtual machine, for every disk.'),
            (
                'sandbox',
                'The sandbox. A host that has none, or a disk that is not '
                'for it, is an error.',
            ),
            (
                'auto',
                'The sandbox where this host has one and the disk is for it, '
                'else the appliance.',
            ),
        ],
        help="""
In what guests are opened whose disks come from somebody trusted.

The sandbox is a set of namespaces on this host, many times faster than the
appliance where that is emulated. In it the host's own kernel mounts the
guest's file systems. So only disks go there that the operator's catalogue
names (images of trusted projects or public ones, downloads, files that only
the operator can write to or replace, and those made of packages), and the file
that a user of imagebuild-pack names. A base image that a request names is
always opened in the appliance. imagebuild-pack and imagebuild-standalone have
``auto`` by default. Catalogue entries and requests can ask for the appliance
with the driver option ``isolation``, never for less. See the security guide
for what each isolates.
""",
    ),
    cfg.StrOpt(
        'accelerator',
        default='auto',
        choices=[
            (
                'auto',
                'KVM where guests really run on it, else emulation. Found '
                'out by starting a guest once for each boot of the host, '
                'which takes up to 30 seconds.',
            ),
            (
                'kvm',
                'KVM. A host whose KVM does not work is an error after '
                'launch_timeout.',
            ),
            ('tcg', 'Emulation. Works everywhere, several times slower.'),
        ],
        help="""
What the appliance's processor is.

The default is right for nearly every host. Set ``kvm`` on hosts that must
never fall back to emulation unnoticed, and ``tcg`` where KVM is known not to
work, to save the trial.
""",
    ),
    cfg.BoolOpt(
        'network',
        default=True,
        help="""
Whether commands inside the image reach the network.

The default lets package managers reach their mirrors, by way of the host's
own network and its name servers. A guest then also reaches whatever else the
host reaches, except what allow_host_network is about. Switch it off where
manifests come from people who must not; only manifests that download nothing
will then work.
""",
    ),
    cfg.BoolOpt(
        'allow_host_network',
        default=False,
        help="""
Whether commands inside the image reach the addresses of this host.

By default they do not: neither its loopback nor any other IPv4 address that
it has when the guest starts, nor the link-local addresses 169.254.0.0/16,
where clouds answer with the host's credentials. qemu then runs in a network
namespace of its own behind slirp4netns, which must be installed, and guests
have no IPv6. Name servers on the host's loopback work all the same. Set it
where a mirror or proxy that guests must reach listens on this host itself
(or have it listen on another one), or where a host with IPv6 alone makes
images; every script of every manifest then reaches every server that listens
on this host.
""",
    ),
    cfg.IntOpt(
        'launch_timeout',
        default=int(appliance_settings.ApplianceSettings.launch_timeout),
        min=1,
        help="""
Seconds after which an appliance that has not started is given up.

A start takes 2 to 6 seconds with KVM and 7 to 20 with emulation. Raise it on
hosts so busy that starts fail; a longer limit costs nothing except that a
host that cannot start one at all takes longer to say so.
""",
    ),
    cfg.IntOpt(
        'command_timeout',
        default=1800,
        min=1,
        help="""
Seconds that one command or script inside the image may take.

It is then stopped with everything it started, and the step has failed. The
default suits installing large packages under emulation. Raise it for scripts
that compile or download for longer; a longer limit costs a build that hangs
that much more time.
""",
    ),
    cfg.IntOpt(
        'run_timeout',
        default=7200,
        min=1,
        help="""
Seconds that all steps of a manifest together may take in imagebuild-pack.

Builds of the service have a time limit of their own, build_timeout of section
[conductor] or what the request says, and this is not looked at. The run is
then stopped and the image left as it was. The default is four times the
default of command_timeout. Raise it together with command_timeout for long
manifests; a longer limit lets a run that makes no progress keep the host's
memory for longer.
""",
    ),
]


def register_opts(conf: cfg.ConfigOpts) -> None:
    conf.register_group(GROUP)
    conf.register_opts(OPTS, group=GROUP)


def list_opts() -> dict[cfg.OptGroup | str, list[cfg.Opt]]:
    return {GROUP: OPTS}
