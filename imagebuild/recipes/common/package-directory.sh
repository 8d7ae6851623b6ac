#!/bin/sh
# Installs the package files of a directory, without a network. Holds when
# the packages are there, wherever they came from.
set -eu

installed() {
    # shellcheck disable=SC2154,SC2086 # names, separated by spaces
    case $distro_family in
    debian)
        for package in $packages; do
            state=$(dpkg-query -W -f '${Status}' "$package" 2> /dev/null) ||
                return 1
            case $state in
            *' installed') ;;
            *) return 1 ;;
            esac
        done
        ;;
    *) rpm -q --whatprovides $packages > /dev/null ;;
    esac
}

if installed; then
    exit 0
fi
if [ "$test_only" -eq 1 ]; then
    echo "not all of these are installed: $packages" >&2
    exit 1
fi
if [ -z "$package_directory" ]; then
    echo 'the argument package-directory is empty' >&2
    exit 1
fi
case $distro_family in
debian) suffix=deb ;;
*) suffix=rpm ;;
esac
set --
for file in "$package_directory"/*."$suffix"; do
    if [ -f "$file" ]; then
        set -- "$@" "$file"
    fi
done
if [ "$#" -eq 0 ]; then
    echo "there are no .$suffix files in $package_directory" >&2
    exit 1
fi
case $distro_family in
debian)
    policy=/usr/sbin/policy-rc.d
    if ! [ -e "$policy" ]; then
        # No service is started in an image.
        trap 'rm -f "$policy"' EXIT
        printf '#!/bin/sh\nexit 101\n' > "$policy"
        chmod 755 "$policy"
    fi
    # Without repositories: all that is needed is there.
    DEBIAN_FRONTEND=noninteractive apt-get -y -q \
        -o Dir::Etc::SourceList=/dev/null \
        -o Dir::Etc::SourceParts=/dev/null \
        -o Dpkg::Use-Pty=0 -o Dpkg::Options::=--force-confold \
        -o Dpkg::Options::=--force-unsafe-io install "$@"
    ;;
*)
    # What an operator puts there is trusted, signed or not.
    dnf -y --disablerepo='*' --nogpgcheck install "$@"
    ;;
esac
installed || {
    echo "$package_directory does not hold all of these: $packages" >&2
    exit 1
}
